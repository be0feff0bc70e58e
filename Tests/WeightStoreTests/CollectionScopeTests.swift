import Files
import Foundation
import GRDB
import Glibc
import Storage
import TestSupport
import Testing
@testable import WeightStore

/// The directories of blobs that a collection reads, and those that it skips.
@Suite(.blocking) struct CollectionScopeTests {
    let directory = try! TemporaryDirectory()

    /// A store with a model, after a collection that found all of its directories in order.
    private func collectedStore() throws -> Store {
        try TestModel(layers: 2).write(to: directory("model"))
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        // A directory that has just changed is read again.
        usleep(2_100_000)
        #expect(try store.collectGarbage().isEmpty)
        return store
    }

    /// The directories that the next collection reads and that exist.
    private func changed(_ store: Store) throws -> [String] {
        try SurveyScope(store.catalog, store.blobs, full: false).directories
            .filter { FileSystem.exists("\(store.blobs.root)/\($0)") }
    }

    private func inOrder(_ store: Store) throws -> Set<String> {
        Set(try store.catalog.read { db in try ExaminedDirectoryTable.inOrder(db) }.keys)
    }

    private func shards(_ store: Store) throws -> [ShardTable.Entry] {
        try store.catalog.read { db in
            try ShardTable.present(of: nil, verifiedBefore: nil, db).shards
                .compactMap { try ShardTable.find(id: $0, db) }
        }
    }

    private func name(_ digest: ContentDigest) -> String { String(digest.hex.prefix(2)) }

    @Test("a collection reads only directories that changed since one found them in order")
    func changes() throws {
        let store = try collectedStore()
        #expect(try changed(store).isEmpty)
        let blob = store.blobs.path(try #require(try shards(store).first).digest)
        let stray = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        try StoreFile.createDirectory(store.blobs.directory(stray))
        try FileManager.default.copyItem(atPath: blob, toPath: store.blobs.path(stray))
        #expect(try changed(store) == [name(stray)])
        // It stays for the grace period, and its directory is read until it is gone.
        #expect(try store.collectGarbage().isEmpty)
        #expect(try store.collectGarbage(graceSeconds: 0).unreferencedBlobs == 1)
        #expect(!FileSystem.exists(store.blobs.path(stray)))
    }

    @Test("a blob that someone deletes is found missing")
    func missing() throws {
        let store = try collectedStore()
        let shard = try #require(try shards(store).first)
        unlink(store.blobs.path(shard.digest))
        #expect(try store.collectGarbage().missing == 1)
    }

    @Test("a row that changed although the process died before its blob was deleted is found")
    func died() throws {
        let store = try collectedStore()
        let shard = try #require(try shards(store).first)
        try store.catalog.write { db in try ShardTable.mark(shard.digest, as: .evicted, db) }
        #expect(try changed(store).contains(name(shard.digest)))
        // No origin has it, and its bytes are here.
        #expect(try store.collectGarbage().reinstated == 1)
    }

    @Test(
        "each change of a row that leaves a blob makes a collection read its directory",
        arguments: [
            ("shard", "digest", "DELETE FROM shard"),
            ("shard", "digest", "UPDATE shard SET state = 'missing'"),
            ("revision", "digest", "DELETE FROM revision"),
            ("revision", "digest", "UPDATE revision SET digest = zeroblob(32)"),
            ("model", "record", "DELETE FROM model"),
            ("model", "record", "UPDATE model SET record = NULL"),
        ])
    func rows(_ table: String, _ column: String, _ change: String) throws {
        let store = try collectedStore()
        let names = try store.catalog.write(dryRun: true) { db in
            let digests = try ContentDigest.fetchAll(db, sql: "SELECT \(column) FROM \(table)")
            let before = try ExaminedDirectoryTable.inOrder(db)
            #expect(!digests.isEmpty && digests.allSatisfy { before[name($0)] != nil })
            try db.execute(sql: "PRAGMA defer_foreign_keys = ON")
            try db.execute(sql: change)
            let after = try ExaminedDirectoryTable.inOrder(db)
            return digests.map(name).filter { after[$0] != nil }
        }
        #expect(names.isEmpty)
    }

    @Test("a row that changes while a collection compares its directory makes the next one read it again")
    func concurrent() throws {
        let store = try collectedStore()
        let shard = try #require(try shards(store).first)
        let scope = try SurveyScope(store.catalog, store.blobs, full: true)
        try scope.begin(store.catalog)
        let survey = try BlobSurvey(store.catalog, store.blobs, scope.directories)
        #expect(survey.inOrder.contains(name(shard.digest)))
        try store.catalog.write { db in try ShardTable.mark(shard.digest, as: .evicted, db) }
        try scope.finish(survey, store.catalog)
        #expect(try !inOrder(store).contains(name(shard.digest)))
        #expect(try !inOrder(store).isEmpty)
    }

    @Test("a directory that has just changed is read again")
    func coarseTimes() throws {
        try TestModel(layers: 1).write(to: directory("model"))
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let scope = try SurveyScope(store.catalog, store.blobs, full: false)
        try scope.begin(store.catalog)
        let recent = try BlobDirectory.fanOut.filter { name in
            let status = try FileSystem.status("\(store.blobs.root)/\(name)")
            return status.map { !$0.isOlder(than: 2_000_000_000, at: StoreClock.nanoseconds) } ?? false
        }
        try scope.finish(BlobSurvey(store.catalog, store.blobs, scope.directories), store.catalog)
        #expect(try inOrder(store).isDisjoint(with: recent))
    }

    @Test("a full collection is due in a new store, after a week, and if its time is in the future")
    func due() throws {
        let store = try collectedStore()
        func isFull() throws -> Bool {
            try SurveyScope(store.catalog, store.blobs, full: false).isFull
        }
        #expect(try !isFull())
        let now = StoreClock.now
        for (moment, expected) in [(now - 8 * 86_400, true), (now - 6 * 86_400, false), (now + 3600, true)] {
            try store.catalog.write { db in try ExaminedDirectoryTable.recordFullWalk(at: moment, db) }
            #expect(try isFull() == expected)
        }
        let fresh = try Store(at: directory("fresh"), create: true)
        #expect(try SurveyScope(fresh.catalog, fresh.blobs, full: false).isFull)
        #expect(try fresh.collectGarbage(dryRun: true).isEmpty)
        #expect(try SurveyScope(fresh.catalog, fresh.blobs, full: false).isFull)
    }

    @Test("a full collection finds an emptied manifest, whose directory does not change")
    func full() throws {
        let store = try collectedStore()
        let revision = try store.revision("model")
        let manifest = store.blobs.path(revision.digest, .manifest)
        chmod(manifest, 0o644)
        truncate(manifest, 0)
        #expect(try store.collectGarbage().rewritten == 0)
        #expect(try store.collectGarbage(full: true).rewritten == 1)
        #expect(try FileSystem.status(manifest)?.bytes ?? 0 > 0)
    }
}
