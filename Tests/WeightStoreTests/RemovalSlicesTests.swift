import Files
import Foundation
import GRDB
import Glibc
import ModelFormats
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// Removals in slices: the work of other processes meanwhile, and the state after an interruption.
@Suite(.blocking) struct RemovalSlicesTests {
    let directory = try! TemporaryDirectory()

    /// Two models and a store with them. Made once, and copied.
    private static let template = Result<TemporaryDirectory, any Error> {
        let directory = try TemporaryDirectory()
        // Each row of a file's tensors is removed in several steps.
        var large = TestModel(layers: 1)
        for number in 0..<3000 {
            large.tensors.append(.init(name: "small.\(number)", dtype: "F32", shape: [1]))
        }
        try large.write(to: directory("large"))
        try TestModel(layers: 1, seed: 2).write(to: directory("other"))
        do {
            let store = try Store(at: directory("store"), create: true)
            for name in ["large", "other"] {
                try store.importModelBlocking(ImportRequest(source: directory(name)))
            }
            try store.catalog.checkpoint()
        }
        // One of the store's threads may hold it for a moment longer.
        try blockUntil {
            try FileManager.default.contentsOfDirectory(atPath: directory("store/leases")).allSatisfy {
                $0.hasPrefix(".")
            }
        }
        return directory
    }

    init() throws {
        let template = try Self.template.get()
        for name in ["large", "other", "store"] {
            try FileManager.default.copyItem(atPath: template(name), toPath: directory(name))
        }
    }

    /// A store that passes each statement to `body`.
    private func traced(_ body: @escaping @Sendable (String) -> Void) throws -> Store {
        try Store(at: directory("store"), create: false, trace: body)
    }

    private func unlinked(_ store: Store) throws -> [Int64] {
        try store.catalog.read { db in try FileTable.unlinked(db) }
    }

    private func expectExact(_ store: Store) throws {
        let wrong = try store.catalog.read { db in
            try Int.fetchOne(
                db,
                sql: """
                    SELECT count(*) FROM shard JOIN shard_evictability ON shard_evictability.shard_id = shard.id
                    WHERE shard.evictable <> shard_evictability.evictable
                    """)
        }
        #expect(wrong == 0)
        #expect(try unlinked(store).isEmpty)
    }

    private func expectWhole(_ name: String, _ store: Store) throws {
        for path in TemporaryDirectory.files(below: directory(name)) {
            var read: [UInt8] = []
            try store.revision(name).read(path) { read += $0 }
            #expect(try read == contents(directory(name) + "/" + path), "\(name) \(path)")
        }
    }

    @Test(
        "the transaction that removes a revision does no work for each tensor, and after it no process waits to start")
    func leaseLock() throws {
        let lock = directory("store/leases/.lock")
        let seen = Mutex<(first: [String], isCommitted: Bool, free: [Bool])>(([], false, []))
        let store = try traced { sql in
            seen.withLock { seen in
                if !seen.isCommitted {
                    if sql.hasPrefix("BEGIN IMMEDIATE") { seen.first = [] }
                    seen.first.append(sql)
                    seen.isCommitted =
                        sql.hasPrefix("COMMIT") && seen.first.contains { $0.hasPrefix("DELETE FROM revision WHERE") }
                }
                if sql.contains("DELETE FROM extent") || sql.contains("DELETE FROM tensor")
                    || sql.contains("DELETE FROM shard")
                {
                    // As a starting process does.
                    let isFree = (try? FileDescriptor(lock, O_RDWR).tryLock()) ?? false
                    seen.free.append(isFree)
                }
            }
        }
        try store.remove(["large"])
        let (first, isCommitted, free) = seen.withLock { $0 }
        #expect(isCommitted)
        #expect(first.count > 5)
        let long = first.filter {
            $0.contains("FROM extent") || $0.contains("FROM tensor") || $0.contains("UPDATE shard")
        }
        #expect(long.isEmpty, "\(long.joined(separator: "\n"))")
        #expect(free.count > 5, "removed in steps")
        #expect(free.allSatisfy { $0 })
        try expectExact(store)
        try expectWhole("other", store)
    }

    @Test("a dry run holds no lock and begins no write, and reports the same as the removal")
    func dryRun() throws {
        let written = Mutex<[String]>([])
        let store = try traced { sql in
            if sql.hasPrefix("BEGIN IMMEDIATE") { written.withLock { $0.append(sql) } }
        }
        // Both locks are held elsewhere: a dry run that needs one of them does not end.
        let leases = try FileDescriptor(directory("store/leases/.lock"), O_RDWR)
        let writes = try FileDescriptor(directory("store/write.lock"), O_RDWR)
        #expect(try leases.tryLock())
        #expect(try writes.tryLock())
        let planned = try store.remove(["large", "other"], dryRun: true)
        let pruned = try store.prune(PruneRule(), dryRun: true)
        leases.unlock()
        writes.unlock()
        #expect(written.withLock { $0 }.isEmpty)
        #expect(pruned.revisions.isEmpty)
        let done = try store.remove(["large", "other"])
        #expect(planned.revisions == done.revisions)
        #expect(planned.refs == done.refs)
        #expect(planned.shards == done.shards && planned.shards > 4)
        #expect(planned.bytes == done.bytes && planned.bytes > 0)
    }

    @Test("a removal that ends after its first transaction is completed by the next collection")
    func interrupted() throws {
        let work = Work()
        let store = try traced { sql in
            guard sql.contains("DELETE FROM extent") else { return }
            work.cancel()
            // Longer than a slice lasts, so that this one ends.
            usleep(30_000)
        }
        #expect(throws: CancellationError.self) { try store.remove(["large"], work: work) }
        #expect(try store.models().map(\.name) == ["other"])
        #expect(try !unlinked(store).isEmpty)
        try expectWhole("other", store)
        let planned = try store.collectGarbage(dryRun: true)
        let collected = try store.collectGarbage()
        #expect(planned.orphans == collected.orphans && collected.orphans > 0)
        #expect(planned.bytes == collected.bytes)
        try expectExact(store)
        try store.remove(["other"])
        #expect(TemporaryDirectory.files(below: directory("store/blobs")) == [".store"])
    }

    @Test("no revision links a file of which rows were removed; importing it again stores it again")
    func halfRemoved() throws {
        let store = try Store(at: directory("store"))
        let files = try store.catalog.write { db in
            let row = try RevisionRow.find("large", db)
            let all = try RevisionTable.files(of: row.id, db)
            try RevisionTable.remove(row.id, db)
            // The other model has the other files, too.
            let files = try all.filter { try FileTable.visit($0, db) == .remove }
            // As a slice that is the last one of a killed process.
            for file in files {
                let first = try ExtentTable.page(of: file, after: -1, limit: 100, db)
                try ExtentTable.remove(of: file, through: first.last?.offset ?? 0, db)
                _ = try TensorTable.remove(of: file, limit: 100, db)
            }
            return files
        }
        try store.importModelBlocking(ImportRequest(source: directory("large")))
        try expectWhole("large", store)
        #expect(try store.revision("large").tensorEntries().count > 3000)
        #expect(files.count == 1)
        #expect(try Set(unlinked(store)).isSuperset(of: files))
        try store.collectGarbage()
        try expectExact(store)
        try expectWhole("large", store)
        try store.remove(["large", "other"])
        #expect(TemporaryDirectory.files(below: directory("store/blobs")) == [".store"])
    }

    @Test("a file that is linked again before it is visited stays, and its shards get their holders' evictability")
    func linkedAgain() throws {
        let store = try Store(at: directory("store"))
        try store.catalog.write { db in try RevisionTable.remove(RevisionRow.find("large", db).id, db) }
        #expect(try !unlinked(store).isEmpty)
        var request = ImportRequest(source: directory("large"))
        request.origins = ["file://\(directory("large"))"]
        try store.importModelBlocking(request)
        try store.collectGarbage()
        try expectExact(store)
        try expectWhole("large", store)
    }

    @Test("the shards of a file that others link become evictable once a holder without an origin is removed")
    func shared() throws {
        let store = try Store(at: directory("store"))
        var request = ImportRequest(source: directory("large"), name: "copy")
        request.origins = ["file://\(directory("large"))"]
        try store.importModelBlocking(request)
        let before = try evictable(store)
        try store.remove(["large"])
        try expectExact(store)
        #expect(try evictable(store) > before)
        try expectWhole("copy", store)
    }

    private func evictable(_ store: Store) throws -> Int {
        try store.catalog.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM shard WHERE evictable") ?? 0 }
    }

    @Test("claims of dead processes keep no shard from a removal")
    func deadClaims() throws {
        let store = try Store(at: directory("store"))
        try store.catalog.write { db in
            for shard in try Int64.fetchAll(db, sql: "SELECT id FROM shard") {
                try ClaimTable.claim(shard, lease: "1-1", db)
            }
        }
        try store.remove(["large", "other"])
        #expect(TemporaryDirectory.files(below: directory("store/blobs")) == [".store"])
    }
}
