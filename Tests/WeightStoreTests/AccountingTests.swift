import Foundation
import GRDB
import Glibc
import TestSupport
import Testing
@testable import Storage
@testable import WeightStore

/// Counts, heat and the record of accesses.
@Suite(.blocking) struct AccountingTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try TestModel(layers: 1).write(to: directory("model"))
        var request = ImportRequest(source: directory("model"))
        request.origins = ["file://\(directory("model"))"]
        try store.importModelBlocking(request)
    }

    @Test("uses are counted, and heat fades by half a day's worth")
    func heat() throws {
        for _ in 0..<3 { _ = try store.revision("model").layer(0) }
        store.flush()
        func heats() throws -> [Double] {
            try store.catalog.read { db in try Double.fetchAll(db, sql: "SELECT heat FROM shard WHERE layer = 0") }
        }
        #expect(try heats().allSatisfy { abs($0 - 3) < 0.01 })
        try store.catalog.write { db in
            try db.execute(sql: "UPDATE shard SET last_access = last_access - 86400, inserted_at = inserted_at - 86400")
        }
        _ = try store.revision("model").layer(0)
        store.flush()
        #expect(try heats().allSatisfy { abs($0 - 2.5) < 0.01 })
        let victim = try #require(try store.victims(of: .lru, count: 99).victims.last)
        #expect(victim.accesses == 4)
        #expect(abs(victim.heat - 2.5) < 0.01)
    }

    @Test("no access waits for a write lock that is held, and the counts are written with the next batch")
    func heldLock() throws {
        let lock = try WriteLock(store.path + "/write.lock")
        func accesses(_ store: Store) throws -> Int { try store.stats().accesses }
        try lock.withLock(LockWait()) {
            // This thread holds it: a caller that waited for it would wait for ever.
            for _ in 0..<50 { _ = try store.revision("model").layer(0) }
            store.flush()
            #expect(try accesses(store) == 0)
        }
        store.flush()
        #expect(try accesses(store) == 50 * 3)
    }

    @Test("a store can be closed while the write lock is held")
    func heldAtExit() throws {
        let lock = try WriteLock(store.path + "/write.lock")
        try lock.withLock(LockWait()) {
            let other = try Store(at: store.path)
            _ = try other.revision("model").layer(0)
        }
    }

    @Test("recorded accesses are lines of time, id and size, of files and tiers alike; off means none")
    func record() async throws {
        _ = try store.revision("model").layer(0)
        store.flush()
        #expect(store.accessFiles.isEmpty)
        try store.setRecordsAccesses(true)
        #expect(try store.recordsAccesses)
        let revision = try store.revision("model")
        _ = try revision.layer(0)
        for _ in 0..<2 { _ = try await revision.lease(layer: 0, in: .ram) }
        let trace = try store.recordedAccesses()
        #expect(trace.accesses.count == 3 * 3)
        #expect(trace.objects.count == 3)
        #expect(trace.objects.allSatisfy { $0.layer == 0 && $0.modelCount == 1 })
        #expect(zip(trace.times, trace.times.dropFirst()).allSatisfy { $0 < $1 })
        try store.setRecordsAccesses(false)
        _ = try revision.layer(0)
        #expect(try store.recordedAccesses().accesses.count == 9)
    }

    @Test("the record is a ring: two files, neither larger than its limit")
    func ring() throws {
        try store.setRecordsAccesses(true)
        let id = try store.catalog.read { db in try Int64.fetchOne(db, sql: "SELECT id FROM shard")! }
        let full = try directory.write(
            [UInt8](repeating: 10, count: AccessRecorder.fileBytes - 100), to: "store/accesses.csv")
        store.accesses.shards([Int64](repeating: id, count: 10))
        store.flush()
        #expect(store.accessFiles.count == 2)
        #expect(try contents(full).count < 1000)
        #expect(try store.recordedAccesses().accesses.count == 10)
    }

    @Test("accesses that are not yet written are bounded in number")
    func bounded() throws {
        try store.setRecordsAccesses(true)
        for _ in 0..<3 { store.recorder.record(rows: [Int64](repeating: 1, count: AccessRecorder.capacity / 2)) }
        store.flush()
        #expect(try store.recordedAccesses().accesses.count == AccessRecorder.capacity)
    }
}
