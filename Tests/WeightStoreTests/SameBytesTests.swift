import Foundation
import GRDB
import ModelFormats
import TestSupport
import Testing
@testable import WeightStore

/// One content under several names, formats and plans; and shards that nothing references.
@Suite(.blocking) struct SameBytesTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
    }

    private func add(_ name: String) throws {
        try store.importModelBlocking(ImportRequest(source: directory(name), name: name))
    }

    /// A model, and the same bytes under a name without a format.
    private func write() throws {
        let model = TestModel(layers: 1)
        try directory.write(model.file(model.tensors), to: "model/model.safetensors")
        try directory.write(model.file(model.tensors), to: "blob/blobfile")
    }

    private func expectEmpty() throws {
        _ = try store.collectGarbage(graceSeconds: 0)
        #expect(try store.usage().stored == 0)
        // Names of blobs have 64 digits.
        #expect(TemporaryDirectory.files(below: directory("store/blobs")).filter { $0.utf8.count > 64 } == [])
    }

    @Test(
        "the same bytes under a name without extension have their tensors, and no shard is left over",
        arguments: [true, false])
    func formats(blobFirst: Bool) throws {
        try write()
        do {
            // In its own process: shards that it wrote and did not need are claimed as long as it lives.
            let importing = try Store(at: directory("store"))
            for name in blobFirst ? ["blob", "model"] : ["model", "blob"] {
                try importing.importModelBlocking(ImportRequest(source: directory(name), name: name))
            }
        }
        for name in ["model", "blob"] {
            #expect(try store.revision(name).files().map(\.format) == ["safetensors"])
            #expect(try store.revision(name).tensorEntries().count == TestModel(layers: 1).tensors.count)
        }
        #expect(try store.revision("model").files()[0].digest == store.revision("blob").files()[0].digest)
        #expect(try store.verifyBlocking().damage.isEmpty)
        for name in ["model", "blob"] {
            try store.revision(name).exportBlocking(to: directory("out-\(name)"))
            let path = TemporaryDirectory.files(below: directory(name))[0]
            #expect(try contents(directory("out-\(name)/\(path)")) == contents(directory("\(name)/\(path)")))
        }
        for name in blobFirst ? ["model", "blob"] : ["blob", "model"] { try store.remove([name]) }
        try expectEmpty()
    }

    @Test("two names of one inode have one plan, whatever their extensions", arguments: [true, false])
    func oneInode(blobFirst: Bool) throws {
        try write()
        try FileManager.default.createDirectory(atPath: directory("link"), withIntermediateDirectories: true)
        try FileManager.default.linkItem(
            atPath: directory("model/model.safetensors"), toPath: directory("link/x.bin"))
        Thread.sleep(forTimeInterval: 0.2)
        // The leftover of an import that was interrupted after its last shard: a memo without a revision.
        for name in blobFirst ? ["link", "model"] : ["model", "link"] {
            try add(name)
            try store.catalog.write { db in try db.execute(sql: "DELETE FROM revision") }
            try store.catalog.write { db in try db.execute(sql: "DELETE FROM file") }
        }
        for name in ["link", "model"] {
            try add(name)
            let path = TemporaryDirectory.files(below: directory(name))[0]
            var bytes: [UInt8] = []
            try store.revision(name).read(path) { bytes += $0 }
            #expect(try bytes == contents(directory("\(name)/\(path)")))
        }
        // In one import, too.
        try FileManager.default.linkItem(
            atPath: directory("model/model.safetensors"), toPath: directory("model/x.bin"))
        try add("model")
        #expect(try store.revision("model").files().map(\.path) == ["model.safetensors", "x.bin"])
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("a memo of another plan is not used")
    func otherPlan() throws {
        try write()
        Thread.sleep(forTimeInterval: 0.2)
        try add("model")
        try store.catalog.write { db in
            try db.execute(sql: "DELETE FROM revision")
            try db.execute(sql: "DELETE FROM file")
            // The rows that another rule would have written: the same numbers, other shards.
            try db.execute(
                sql: """
                    UPDATE source SET plan = zeroblob(32);
                    UPDATE source_shard SET shard_id = (SELECT max(shard_id) FROM source_shard)
                    """)
        }
        try add("model")
        var bytes: [UInt8] = []
        try store.revision("model").read("model.safetensors") { bytes += $0 }
        #expect(try bytes == contents(directory("model/model.safetensors")))
    }

    @Test("a shard that nothing references is an orphan, whatever state its row has")
    func unreferenced() throws {
        try write()
        try add("model")
        try store.catalog.write { db in
            try db.execute(sql: "DELETE FROM extent")
            #expect(try ShardTable.orphans(since: .max, db).isEmpty)
        }
        try store.remove(["model"])
        // The grace period begins when they are found.
        #expect(try store.collectGarbage().orphans == 0)
        #expect(try store.usage().stored > 0)
        try expectEmpty()
    }

    @Test("each claim restarts the grace period of an orphan")
    func grace() throws {
        let facts = ShardFacts(digest: .zero, bytes: 1, kind: .file, head: 0)
        let old = StoreClock.now - 2 * 86_400
        let isOrphan = try store.catalog.write { db in
            let shard = try ShardTable.markPresent(facts, db)
            try db.execute(sql: "UPDATE shard SET orphaned_at = ?", arguments: [old])
            #expect(try ShardTable.orphans(since: StoreClock.now - 86_400, db) == [shard])
            try ClaimTable.claim(shard, lease: "dead", db)
            return try ShardTable.orphans(since: StoreClock.now - 86_400, db) == [shard]
        }
        #expect(!isOrphan)
    }
}
