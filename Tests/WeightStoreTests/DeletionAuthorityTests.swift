import Foundation
import GRDB
import TestSupport
import Testing
@testable import Storage
@testable import WeightStore

/// The rules of `DeletionAuthority`: which files are never deleted, and which are found again.
@Suite(.blocking) struct DeletionAuthorityTests {
    let directory = try! TemporaryDirectory()
    let model = TestModel(layers: 8)

    private func store() throws -> Store {
        let isNew = !FileManager.default.fileExists(atPath: directory("base"))
        if isNew { try model.write(to: directory("base")) }
        let store = try Store(at: directory("store"), create: true)
        if isNew { try store.importModelBlocking(ImportRequest(source: directory("base"))) }
        return store
    }

    private func move(_ old: String, _ new: String) throws {
        try FileManager.default.moveItem(atPath: old, toPath: new)
    }

    /// The paths of all blobs of shards.
    private func shards(in store: Store) throws -> [String] {
        try present(in: store).map { store.blobs.path($0.digest) }
    }

    private func present(in store: Store) throws -> [ShardTable.Entry] {
        try store.catalog.read { db in
            try ShardTable.present(of: nil, verifiedBefore: nil, db).shards
                .compactMap { try ShardTable.find(id: $0, db) }
        }
    }

    private func isForeign(_ error: any Error) -> Bool {
        if case StorageError.foreignBlobs = error { true } else { false }
    }

    private func isOlder(_ error: any Error) -> Bool {
        if case StorageError.catalogOlder = error { true } else { false }
    }

    private func isDamaged(_ error: any Error) -> Bool {
        if case StorageError.catalogDamaged = error { true } else { false }
    }

    private func expectWhole(_ store: Store) throws {
        let summary = try store.verifyBlocking()
        #expect(summary.damage.isEmpty && summary.known.isEmpty)
        try? FileManager.default.removeItem(atPath: directory("out"))
        try store.revision("base").exportBlocking(to: directory("out"))
        for file in TemporaryDirectory.files(below: directory("base")) {
            #expect(try contents(directory("out/\(file)")) == contents(directory("base/\(file)")), "\(file)")
        }
    }

    // MARK: The sources

    @Test("every unlink of a blob is made by the deletion authority")
    func oneAuthority() throws {
        let root = URL(filePath: #filePath).appending(path: "../../../Sources").standardizedFileURL
        let removal = #/(?:\bunlink(?:at)?|FileSystem\.remove(?:Tree)?|removeItem)\((?<argument>.*)\)/#
        let binding = #/let (?<name>\w+)(?:: String)? = .*(?:blobs\.path\(|blobPath\(|blobs\.root|/blobs/)/#
        var authorities: Set<String> = []
        for path in TemporaryDirectory.files(below: root.path) where path.hasSuffix(".swift") {
            let text = try String(contentsOf: root.appending(path: path), encoding: .utf8)
            let bound = Set(text.matches(of: binding).map { String($0.name) })
            for match in text.matches(of: removal) {
                let argument = String(match.argument)
                let names = Set(argument.split { !$0.isLetter && !$0.isNumber && $0 != "_" }.map(String.init))
                guard
                    argument.contains("blobs.") || argument.contains("/blobs") || argument.contains("blobPath")
                        || !names.isDisjoint(with: bound)
                else { continue }
                authorities.insert(path)
            }
        }
        #expect(authorities == ["Storage/Deletion/DeletionAuthority.swift"])
    }

    // MARK: A file whose digest the catalog knows is not garbage

    @Test("while the blobs are not mounted nothing is deleted, marked or evicted, and afterwards nothing is lost")
    func unmounted() throws {
        let store = try store()
        let blobs = store.blobs.root
        try move(blobs, directory("aside"))
        try FileManager.default.createDirectory(atPath: blobs, withIntermediateDirectories: true)
        #expect(performing: { try store.collectGarbage(graceSeconds: 0) }, throws: isForeign)
        #expect(performing: { try store.remove(["base"]) }, throws: isForeign)
        #expect(performing: { try store.prune(PruneRule()) }, throws: isForeign)
        #expect(performing: { try store.evictBlocking(EvictionRequest(.free(1))) }, throws: isForeign)
        #expect(performing: { try store.verifyBlocking() }, throws: isForeign)
        #expect(performing: { try store.pin("base") }, throws: isForeign)
        #expect(try FileManager.default.contentsOfDirectory(atPath: blobs).isEmpty)
        #expect(try store.stats().damaged == 0)
        try FileManager.default.removeItem(atPath: blobs)
        try move(directory("aside"), blobs)
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        try expectWhole(store)
    }

    @Test("blobs with the marker of another store are refused")
    func foreign() throws {
        let store = try store()
        _ = try Store(at: directory("other"), create: true)
        let marker = store.blobs.root + "/" + StoreMarker.name
        let own = try contents(marker)
        try FileManager.default.removeItem(atPath: marker)
        try FileManager.default.copyItem(atPath: directory("other/blobs/.store"), toPath: marker)
        #expect(performing: { try store.collectGarbage() }, throws: isForeign)
        #expect(performing: { try store.mergeNewerBlocking() }, throws: isForeign)
        try FileManager.default.removeItem(atPath: marker)
        #expect(performing: { try store.collectGarbage() }, throws: isForeign)
        try store.mergeNewerBlocking()
        #expect(try contents(marker) == own, "the user has declared that the blobs are this store's")
        #expect(try store.collectGarbage().isEmpty)
    }

    @Test("a store without a marker gets it at an open, once the blobs of its shards exist")
    func firstOpen() throws {
        let path = directory("store")
        do {
            let store = try store()
            try store.catalog.write { db in
                try db.execute(sql: "UPDATE setting SET value = 0 WHERE name = 'store.marked'")
            }
        }
        try FileManager.default.removeItem(atPath: path + "/blobs/.store")
        try move(path + "/blobs", directory("aside"))
        try FileManager.default.createDirectory(atPath: path + "/blobs", withIntermediateDirectories: true)
        do {
            let store = try store()
            #expect(!FileManager.default.fileExists(atPath: path + "/blobs/.store"))
            #expect(performing: { try store.collectGarbage(graceSeconds: 0) }, throws: isForeign)
        }
        try FileManager.default.removeItem(atPath: path + "/blobs")
        try move(directory("aside"), path + "/blobs")
        let store = try store()
        #expect(FileManager.default.fileExists(atPath: path + "/blobs/.store"))
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        try expectWhole(store)
    }

    @Test("a shard without a file is marked missing; when the file is back, gc and verify make it present again")
    func reappears() throws {
        let store = try store()
        for heal in [
            { try store.collectGarbage(graceSeconds: 0).reinstated }, { try store.verifyBlocking().reinstated },
        ] {
            let blob = try #require(try shards(in: store).last)
            try move(blob, directory("aside"))
            #expect(try store.collectGarbage(graceSeconds: 0).missing == 1)
            #expect(try store.stats().damaged == 1)
            try move(directory("aside"), blob)
            #expect(try heal() == 1)
            #expect(try store.stats().damaged == 0)
        }
        try expectWhole(store)
    }

    @Test("a missing file that reappears with wrong bytes is moved to quarantine")
    func reappearsDamaged() throws {
        let store = try store()
        let blob = try #require(try shards(in: store).last)
        let bytes = try contents(blob)
        try FileManager.default.removeItem(atPath: blob)
        #expect(try store.collectGarbage(graceSeconds: 0).missing == 1)
        try Data(bytes.reversed()).write(to: URL(filePath: blob))
        #expect(try store.collectGarbage(graceSeconds: 0).reinstated == 0)
        #expect(!FileManager.default.fileExists(atPath: blob))
        // The right bytes, restored by hand: the row's state is quarantined now.
        try Data(bytes).write(to: URL(filePath: blob))
        #expect(try store.collectGarbage(graceSeconds: 0).reinstated == 1)
        try expectWhole(store)
    }

    @Test("a shard in quarantine whose bytes are right is found again by verify")
    func wronglyQuarantined() throws {
        let store = try store()
        let shard = try #require(try present(in: store).last)
        try store.catalog.write { db in
            try ShardTable.mark(shard.digest, as: .quarantined, db)
            try store.blobs.moveToQuarantine(.init(digest: shard.digest, kind: .shard))
        }
        let summary = try store.verifyBlocking()
        #expect(summary.reinstated == 1 && summary.known.isEmpty)
        try expectWhole(store)
    }

    @Test("if more than 10 shards and more than 0.1 % of them are missing, a collection marks none and deletes nothing")
    func manyMissing() throws {
        let store = try store()
        let all = try shards(in: store)
        try #require(all.count > 12)
        try FileManager.default.createDirectory(atPath: directory("aside"), withIntermediateDirectories: true)
        for (number, blob) in all.prefix(11).enumerated() { try move(blob, directory("aside/\(number)")) }
        let stray = store.blobs.path(ContentDigest.zero)
        try FileManager.default.createDirectory(
            atPath: store.blobs.directory(ContentDigest.zero), withIntermediateDirectories: true)
        try Data([1]).write(to: URL(filePath: stray))
        #expect(throws: StorageError.tooManyMissing(path: store.blobs.root, missing: 11, shards: all.count)) {
            try store.collectGarbage(graceSeconds: 0)
        }
        #expect(try store.stats().damaged == 0)
        #expect(FileManager.default.fileExists(atPath: stray))
        try move(directory("aside/0"), all[0])
        #expect(try store.collectGarbage(graceSeconds: 0).missing == 10)
        for number in 1..<11 { try move(directory("aside/\(number)"), all[number]) }
        #expect(try store.collectGarbage(graceSeconds: 0).reinstated == 10)
        try expectWhole(store)
    }

    @Test("a directory that cannot be read ends the collection, and no shard in it is missing")
    func unreadableDirectory() throws {
        let store = try store()
        let blob = try #require(try shards(in: store).first)
        let folder = String(blob.prefix(blob.count - 65))
        try move(folder, directory("aside"))
        // A link to itself: ELOOP.
        try FileManager.default.createSymbolicLink(atPath: folder, withDestinationPath: folder)
        #expect(throws: FileError.self) { try store.collectGarbage(graceSeconds: 0) }
        #expect(try store.stats().damaged == 0)
        try FileManager.default.removeItem(atPath: folder)
        try move(directory("aside"), folder)
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        try expectWhole(store)
    }

    @Test("a row in any state but evicted keeps its blob")
    func rows() throws {
        let store = try store()
        let shard = try #require(try present(in: store).first)
        let name = BlobDirectory.Name(digest: shard.digest, kind: .shard)
        for state in [ShardState.present, .missing, .quarantined] {
            try store.catalog.write { db in try ShardTable.mark(shard.digest, as: state, db) }
            for reason in [
                DeletionAuthority.Reason.removed, .evicted, .replaced, .dropped, .unreferenced(changedBefore: .max),
            ] {
                #expect(try store.authority.delete([name], reason).blobs == 0, "\(state) \(reason)")
            }
        }
        try store.catalog.write { db in try ShardTable.mark(shard.digest, as: .evicted, db) }
        #expect(try store.authority.delete([name], .evicted).blobs == 1)
    }

    // MARK: A catalog older than the blobs

    /// Puts back the catalog of before an import.
    private func putBackOlder() throws -> Store {
        do {
            let store = try store()
            try store.backUp(to: directory("backup"))
            try model.tuned(seed: 3).write(to: directory("tuned"))
            try store.importModelBlocking(ImportRequest(source: directory("tuned")))
            try store.importModelBlocking(ImportRequest(source: directory("tuned"), name: "base"))
            try store.setRef("prod", to: "base@~2")
        }
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: directory("store/store.db\(suffix)"))
        }
        try FileManager.default.copyItem(atPath: directory("backup/store.db"), toPath: directory("store/store.db"))
        return try Store(at: directory("store"))
    }

    @Test("an older catalog deletes nothing and can be read; a merge adds the newer revisions")
    func older() throws {
        let store = try putBackOlder()
        let before = TemporaryDirectory.files(below: store.blobs.root)
        #expect(performing: { try store.collectGarbage(graceSeconds: 0) }, throws: isOlder)
        #expect(performing: { try store.remove(["base"]) }, throws: isOlder)
        #expect(performing: { try store.prune(PruneRule()) }, throws: isOlder)
        #expect(performing: { try store.evictBlocking(EvictionRequest(.free(1))) }, throws: isOlder)
        try store.revision("base").exportBlocking(to: directory("read"))
        // Commits to it do not make it a newer one, and delete no record.
        try store.pin("base", note: "still older")
        #expect(performing: { try store.collectGarbage(graceSeconds: 0) }, throws: isOlder)
        #expect(Set(TemporaryDirectory.files(below: store.blobs.root)).isSuperset(of: before))
        #expect(try Set(store.newerThanCatalog().map(\.revision)) == ["tuned@~1", "base@~2"])

        let summary = try store.mergeNewerBlocking()
        #expect(summary.revisions == 2 && summary.lost.isEmpty)
        #expect(try store.newerThanCatalog().isEmpty)
        _ = try store.collectGarbage(graceSeconds: 0)
        #expect(try store.revision("base@prod").version == 2)
        for name in ["tuned", "base@prod"] {
            try store.revision(name).exportBlocking(to: directory("out-\(name)"))
            #expect(
                try contents(directory("out-\(name)/model.safetensors"))
                    == contents(directory("tuned/model.safetensors")))
        }
        try store.revision("base@~1").exportBlocking(to: directory("v1"))
        #expect(try contents(directory("v1/model.safetensors")) == contents(directory("base/model.safetensors")))
        try store.unpin("base@~1")
        #expect(try store.remove(["base@~1"]).revisions == ["base@~1"])
    }

    @Test("shards that are newer than an older catalog can be discarded on request")
    func discard() throws {
        let store = try putBackOlder()
        let summary = try store.collectGarbage(graceSeconds: 0, discardingNewer: true)
        #expect(summary.unreferencedBlobs > 0)
        #expect(try store.newerThanCatalog().isEmpty)
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        try expectWhole(store)
    }

    @Test("a merge keeps shards that were evicted in the older catalog and are stored again")
    func storedAgain() throws {
        do {
            let store = try Store(at: directory("store"), create: true)
            try model.write(to: directory("base"))
            var request = ImportRequest(source: directory("base"))
            request.origins = ["file://\(directory("base"))"]
            try store.importModelBlocking(request)
            try store.evictBlocking(EvictionRequest(.free(1 << 40)))
            try store.backUp(to: directory("backup"))
            try store.importModelBlocking(ImportRequest(source: directory("base"), name: "local"))
        }
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: directory("store/store.db\(suffix)"))
        }
        try FileManager.default.copyItem(atPath: directory("backup/store.db"), toPath: directory("store/store.db"))
        let store = try Store(at: directory("store"))
        try store.mergeNewerBlocking()
        try store.collectGarbage(graceSeconds: 0)
        try FileManager.default.removeItem(atPath: directory("base/model.safetensors"))
        try store.revision("local").exportBlocking(to: directory("out"))
    }

    @Test("a merge leaves no record behind: a model that is removed after it stays removed at a rebuild")
    func mergedRecords() throws {
        let path = directory("store")
        do {
            let store = try store()
            try store.backUp(to: directory("backup"))
            try TestModel(layers: 1).tuned(seed: 4).write(to: directory("later"))
            try store.importModelBlocking(ImportRequest(source: directory("later")))
        }
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(path)/store.db\(suffix)") }
        try FileManager.default.copyItem(atPath: directory("backup/store.db"), toPath: "\(path)/store.db")
        do {
            let store = try Store(at: path)
            try store.mergeNewerBlocking()
            #expect(try store.models().map(\.name).contains("later"))
            try store.remove(["later"])
        }
        let summary = try Store.rebuildBlocking(at: path)
        #expect(summary.lost.isEmpty)
        #expect(try !Store(at: path).models().map(\.name).contains("later"))
    }

    @Test("evictions and pins after the backup are kept by the merge")
    func mergedEvictions() throws {
        let path = directory("store")
        do {
            let store = try Store(at: path, create: true)
            try model.write(to: directory("base"))
            var request = ImportRequest(source: directory("base"))
            request.origins = ["file://\(directory("base"))"]
            try store.importModelBlocking(request)
            try store.backUp(to: directory("backup"))
            #expect(try store.evictBlocking(EvictionRequest(.free(1 << 40))).shards > 0)
            try store.pin("base", note: "later")
        }
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(path)/store.db\(suffix)") }
        try FileManager.default.copyItem(atPath: directory("backup/store.db"), toPath: "\(path)/store.db")
        let store = try Store(at: path)
        #expect(try store.mergeNewerBlocking().evicted > 0)
        #expect(try store.revisions(of: "base").map(\.pin) == ["later"])
        #expect(try store.verifyBlocking().known.isEmpty && store.verifyBlocking().damage.isEmpty)
        try store.revision("base").exportBlocking(to: directory("out"))
    }

    @Test("a counter in write.lock that lags behind the catalog's is harmless")
    func lags() throws {
        let store = try store()
        try Data().write(to: URL(filePath: store.path + "/write.lock"))
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        try store.pin("base", note: "a commit")
        #expect(try contents(store.path + "/write.lock").count == 21)
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
    }

    @Test("blobs without rows are kept for the grace period")
    func grace() throws {
        let store = try store()
        let digest = ContentDigest.zero
        try FileManager.default.createDirectory(
            atPath: store.blobs.directory(digest), withIntermediateDirectories: true)
        for kind in BlobDirectory.Kind.allCases {
            try Data([1]).write(to: URL(filePath: store.blobs.path(digest, kind)))
        }
        #expect(try store.collectGarbage().isEmpty)
        #expect(try store.collectGarbage(graceSeconds: 0).unreferencedBlobs == 3)
    }

    @Test("a backup that is made during imports is a whole catalog")
    func backup() throws {
        let store = try store()
        try TestModel(layers: 1, seed: 5).write(to: directory("small"))
        DispatchQueue.concurrentPerform(iterations: 2) { lane in
            do {
                for number in 0..<6 {
                    if lane == 0 {
                        try store.importModelBlocking(ImportRequest(source: directory("small"), name: "m\(number)"))
                    } else {
                        try store.backUp(to: directory("backup"))
                        let copy = try DatabaseQueue(path: directory("backup/store.db"))
                        #expect(try copy.read { db in try String.fetchOne(db, sql: "PRAGMA integrity_check") } == "ok")
                        #expect(try copy.read { db in try Row.fetchAll(db, sql: "PRAGMA foreign_key_check").isEmpty })
                    }
                }
            } catch {
                Issue.record("\(error)")
            }
        }
        let left = TemporaryDirectory.files(below: directory("backup"))
        #expect(left.filter { $0.hasSuffix(".partial") }.isEmpty, "\(left)")
        #expect(throws: StorageError.self) { try store.backUp(to: store.path) }
    }

    // MARK: Unreadable files are not garbage

    private func blob(_ kind: BlobDirectory.Kind, of name: String, in store: Store) throws -> String {
        try store.catalog.read { db in
            let row = try RevisionRow.find(name, db)
            let digest = kind == .manifest ? row.digest : try #require(try ModelTable.record(of: row.model, db))
            return store.blobs.path(digest, kind)
        }
    }

    @Test("gc rewrites a missing or empty manifest and record")
    func rewritten() throws {
        let store = try store()
        let manifest = try blob(.manifest, of: "base", in: store)
        let bytes = try contents(manifest)
        try FileManager.default.removeItem(atPath: manifest)
        try FileManager.default.removeItem(atPath: try blob(.record, of: "base", in: store))
        #expect(try store.collectGarbage(dryRun: true).rewritten == 2)
        #expect(try store.collectGarbage().rewritten == 2)
        #expect(try contents(manifest) == bytes)
        try FileManager.default.removeItem(atPath: manifest)
        try Data().write(to: URL(filePath: manifest))
        #expect(try store.collectGarbage().rewritten == 1)
        #expect(try contents(manifest) == bytes)
        #expect(FileManager.default.fileExists(atPath: try blob(.record, of: "base", in: store)))
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
    }

    @Test("verify compares manifests and records with their digests, and rewrites damaged ones")
    func verified() throws {
        let path = directory("store")
        do {
            let store = try store()
            for kind in [BlobDirectory.Kind.manifest, .record] {
                let file = try blob(kind, of: "base", in: store)
                var bytes = try contents(file)
                bytes[bytes.count / 2] ^= 1
                try FileManager.default.removeItem(atPath: file)
                try Data(bytes).write(to: URL(filePath: file))
            }
            let summary = try store.verifyBlocking()
            #expect(summary.rewritten == 2 && summary.damage.isEmpty)
            #expect(try store.verifyBlocking().rewritten == 0)
            #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        }
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(path)/store.db\(suffix)") }
        #expect(try Store.rebuildBlocking(at: path).lost.isEmpty)
        try expectWhole(Store(at: path))
    }

    @Test(
        "shards of revisions that a rebuild lost are kept by gc until they are imported again or discarded",
        arguments: [true, false])
    func lost(importsAgain: Bool) throws {
        let path = directory("store")
        do {
            let store = try store()
            let manifest = try blob(.manifest, of: "base", in: store)
            try FileManager.default.removeItem(atPath: manifest)
            try Data("rotten\n".utf8).write(to: URL(filePath: manifest))
        }
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(path)/store.db\(suffix)") }
        #expect(try Store.rebuildBlocking(at: path).lost.map(\.revision) == ["base@~1"])
        let store = try Store(at: path)
        let summary = try store.collectGarbage(graceSeconds: 0)
        #expect(summary.unreferencedBlobs == 0 && summary.kept > 12)
        #expect(try store.newerThanCatalog().map(\.revision).first == "base@~1")
        try expectSettled(store, importsAgain: importsAgain)
    }

    /// The blobs of shards and manifests.
    private func described(_ store: String) -> Set<String> {
        Set(TemporaryDirectory.files(below: store + "/blobs").filter { !$0.hasSuffix(".record") })
    }

    /// Settles the losses of a rebuild.
    private func expectSettled(_ store: Store, importsAgain: Bool) throws {
        if importsAgain {
            try store.importModelBlocking(ImportRequest(source: directory("base")))
            #expect(try store.collectGarbage(graceSeconds: 0).kept == 0)
            #expect(try store.newerThanCatalog().isEmpty)
            try expectWhole(store)
        } else {
            #expect(try store.collectGarbage(graceSeconds: 0, discardingNewer: true).unreferencedBlobs > 12)
            #expect(try store.newerThanCatalog().isEmpty)
            #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        }
    }

    @Test(
        "blobs that a rebuild finds without a revision are kept by gc and rm until imported again or discarded",
        arguments: [true, false], [true, false])
    func unlisted(importsAgain: Bool, losesManifest: Bool) throws {
        let path = directory("store")
        do {
            let store = try store()
            for kind in [BlobDirectory.Kind.manifest, .record] where kind == .record || losesManifest {
                try FileManager.default.removeItem(atPath: try blob(kind, of: "base", in: store))
            }
            try TestModel(layers: 1).tuned(seed: 4).write(to: directory("other"))
            try store.importModelBlocking(ImportRequest(source: directory("other")))
        }
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(path)/store.db\(suffix)") }
        let rebuilt = try Store.rebuildBlocking(at: path)
        #expect(rebuilt.lost.isEmpty && rebuilt.unreferencedBlobs > 12 && rebuilt.unreferencedBytes > 1 << 20)
        let store = try Store(at: path)
        let named = try store.newerThanCatalog().map(\.revision)
        #expect(named.count == 1 && named[0].hasPrefix("\(rebuilt.unreferencedBlobs) blobs"), "\(named)")
        // The lost model may share its shards.
        let before = described(path)
        try store.remove(["other"])
        let summary = try store.collectGarbage(graceSeconds: 0)
        #expect(summary.unreferencedBlobs == 0 && summary.kept >= rebuilt.unreferencedBlobs)
        #expect(described(path) == before)
        if importsAgain {
            // The leftovers of the removal are kept, too.
            #expect(try store.collectGarbage(graceSeconds: 0).kept > 0)
            try store.importModelBlocking(ImportRequest(source: directory("other")))
        }
        try expectSettled(store, importsAgain: importsAgain)
    }

    @Test("a merge keeps blobs that no revision holds: the newer record and its manifest may be lost")
    func unlistedAfterMerge() throws {
        let path = directory("store")
        do {
            let store = try store()
            try store.backUp(to: directory("backup"))
            try TestModel(layers: 1).tuned(seed: 4).write(to: directory("later"))
            try store.importModelBlocking(ImportRequest(source: directory("later")))
            for kind in [BlobDirectory.Kind.manifest, .record] {
                try FileManager.default.removeItem(atPath: try blob(kind, of: "later", in: store))
            }
        }
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(path)/store.db\(suffix)") }
        try FileManager.default.copyItem(atPath: directory("backup/store.db"), toPath: "\(path)/store.db")
        let store = try Store(at: path)
        let merged = try store.mergeNewerBlocking()
        #expect(merged.lost.isEmpty && merged.unreferencedBlobs > 0)
        #expect(try store.collectGarbage(graceSeconds: 0).kept == merged.unreferencedBlobs)
        try store.importModelBlocking(ImportRequest(source: directory("later")))
        #expect(try store.collectGarbage(graceSeconds: 0).kept == 0)
        #expect(try store.newerThanCatalog().isEmpty)
    }

    @Test(
        "a store that has lost its catalog gets no new one at an open, even without blobs; a rebuild makes a current one"
    )
    func lostCatalog() throws {
        let path = directory("store")
        _ = try Store(at: path, create: true)
        for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: "\(path)/store.db\(suffix)") }
        for _ in 0..<2 { #expect(performing: { try Store(at: path) }, throws: isDamaged) }
        try Store.rebuildBlocking(at: path)
        let store = try Store(at: path)
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        try model.write(to: directory("base"))
        try store.importModelBlocking(ImportRequest(source: directory("base")))
        try expectWhole(store)
    }

    @Test("a rebuild keeps the identity of the blobs, and is not older than them")
    func rebuilt() throws {
        let path = directory("store")
        _ = try store()
        let marker = try contents(path + "/blobs/.store")
        let summary = try Store.rebuildBlocking(at: path)
        #expect(summary.lost.isEmpty)
        let left = try FileManager.default.contentsOfDirectory(atPath: path)
        #expect(left.filter { $0.hasSuffix("-shm") }.isEmpty, "\(left)")
        #expect(try contents(path + "/blobs/.store") == marker)
        let store = try Store(at: path)
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
        try expectWhole(store)
    }

    @Test("empty folders that a copy lacks are created at open")
    func folders() throws {
        let path = directory("store")
        _ = try store()
        for folder in ["staging", "leases", "quarantine"] {
            try FileManager.default.removeItem(atPath: "\(path)/\(folder)")
        }
        try expectWhole(try Store(at: path))
    }
}
