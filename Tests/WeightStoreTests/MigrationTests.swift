import Foundation
import GRDB
import Logging
import Migrations
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// Stores that an older version has made.
@Suite(.blocking) struct MigrationTests {
    let directory = try! TemporaryDirectory()

    @Test("a store of the first schema opens with every row, and works: files, tensors, evictions, claims, pins")
    func first() throws {
        let path = directory("store")
        for (name, model) in [
            ("base", TestModel(layers: 2)), ("tuned", TestModel(layers: 2).tuned(seed: 7)),
            ("local", TestModel(layers: 1, seed: 9)),
        ] {
            try model.write(to: directory(name))
        }
        do {
            let store = try Store(at: path, create: true)
            for name in ["base", "tuned", "local"] {
                var request = ImportRequest(source: directory(name))
                if name != "local" { request.origins = ["file://\(directory(name))"] }
                try store.importModelBlocking(request)
            }
            try store.pin("tuned", note: "kept")
            try store.setRef("prod", to: "base@~1")
            try store.setQuota(Quota(bytes: 1 << 30))
            for name in ["base", "tuned"] { _ = try store.revision(name).layer(1) }
            store.flush()
            try store.evictBlocking(EvictionRequest(.free(1 << 20)))
            try store.catalog.checkpoint()
        }
        let before = try OldStore.downgrade(path)
        #expect(before["shard"]!.count > 8 && before["extent"]!.count > 10)

        let store = try Store(at: path)
        try store.catalog.read { db in
            let after = try OldStore.rows(of: Array(before.keys), db)
            for table in before.keys.sorted() { #expect(after[table] == before[table], "\(table)") }
            #expect(try Row.fetchAll(db, sql: "PRAGMA foreign_key_check").isEmpty)
            #expect(try String.fetchOne(db, sql: "PRAGMA integrity_check") == "ok")
            #expect(
                try Int.fetchOne(
                    db,
                    sql: """
                        SELECT count(*) FROM shard JOIN shard_evictability ON shard_evictability.shard_id = shard.id
                        WHERE shard.evictable <> shard_evictability.evictable
                        """) == 0)
        }
        // Evicted shards are fetched, and every file is unchanged.
        for name in ["base", "tuned", "local"] {
            try store.revision(name).exportBlocking(to: directory("out-\(name)"))
            for file in TemporaryDirectory.files(below: directory(name)) {
                #expect(
                    try contents(directory("out-\(name)/\(file)")) == contents(directory("\(name)/\(file)")),
                    "\(name)/\(file)")
            }
        }
        // Each revision has the origins of its model, and none of them counts as checked.
        #expect(try store.origins(of: "tuned") == ["file://\(directory("tuned"))"])
        #expect(try store.revisionOrigins().map(\.revision) == ["base@~1", "tuned@~1"])
        #expect(try store.revisionOrigins().allSatisfy { $0.checked == nil && $0.absent == nil })
        // The triggers exist again.
        #expect(try store.diskGauge().pinned > 0)
        try store.unpin("tuned")
        #expect(try store.diskGauge().evictable == 0)
        #expect(try store.checkOrigins().map(\.state) == [.holds, .holds])
        let gauge = try store.diskGauge()
        #expect(gauge.pinned == 0 && gauge.evictable > 0)
        let tokens = (0..<40).map(UInt32.init)
        let kv = try store.kvBlocks(of: store.revision("base@prod"), format: "f", blockTokens: 4)
        #expect(try kv.put(kv.chain(tokens), Array(repeating: [1], count: 10)).stored == 10)
        #expect(try store.diskGauge().bytes == gauge.bytes)
        #expect(try store.verifyBlocking().damage.isEmpty)
        try store.remove(["local", "tuned"])
        #expect(try store.collectGarbage(graceSeconds: 0).missing == 0)
    }

    private func old() throws -> String {
        let path = directory("old")
        do {
            try TestModel(layers: 2).write(to: directory("model"))
            let store = try Store(at: path, create: true)
            try store.importModelBlocking(ImportRequest(source: directory("model")))
            try store.catalog.checkpoint()
        }
        try OldStore.downgrade(path)
        return path
    }

    @Test("concurrent opens of an old store migrate it once; those that wait report it, and later opens report nothing")
    func atOnce() throws {
        let path = try old()
        let heard = LogListener.Lines()
        let logger = Logger(label: "test") { _ in LogListener(heard: heard) }
        let failures = Mutex<[String]>([])
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            do {
                let store = try Store(at: path, logger: logger)
                #expect(try store.revision("model").layer(1).tensors.count == 4)
            } catch {
                failures.withLock { $0.append("\(error)") }
            }
        }
        #expect(failures.withLock { $0 } == [])
        // On a busy machine, an open that waits for longer than two seconds also reports the holder of the lock.
        func reports() -> Int { heard.lines.withLock { $0.count { $0.contains("older version") } } }
        let count = reports()
        #expect((1...8).contains(count))
        let store = try Store(at: path, logger: logger)
        #expect(reports() == count)
        let applied = try store.catalog.read { db in
            try String.fetchAll(db, sql: "SELECT identifier FROM grdb_migrations")
        }
        #expect(applied == Migrations.all.map(\.name))
        #expect(try Store(at: directory("new"), create: true, logger: logger).stats().models == 0)
        #expect(reports() == count, "a new store is not of an older version")
    }
}
