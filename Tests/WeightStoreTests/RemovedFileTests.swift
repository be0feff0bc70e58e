import Foundation
import Glibc
import TestSupport
import Testing
@testable import WeightStore

/// Deleted blobs that tiers map: their disk space is reported, and returned.
@Suite(.blocking) struct RemovedFileTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try TestModel(layers: 2).write(to: directory("model"))
        try store.importModelBlocking(ImportRequest(source: directory("model"), name: "gone"))
    }

    /// A store whose tier has the model, without a lease.
    private func engine() throws -> Store {
        let engine = try Store(at: directory("store"))
        try engine.revision("gone").leaseBlocking(in: .ram).release()
        #expect(engine.gauges[0].bytes > 0 && engine.gauges[0].leased == 0)
        return engine
    }

    private func expectNoMappings() throws {
        // The thread that has loaded the bytes may release them a moment later.
        try blockUntil { try store.deletedMappings().isEmpty }
        let left = try store.deletedMappings()
        #expect(left.isEmpty, "\(left)")
    }

    @Test("a removal reports the deleted files that a process maps, and clearing its tier returns their space")
    func clear() throws {
        let engine = try engine()
        let bytes = engine.gauges[0].bytes
        let summary = try store.remove(["gone"])
        let mapping = try #require(summary.stillMapped.first)
        #expect(summary.stillMapped.count == 1 && mapping.process.hasPrefix("process \(getpid()) ("))
        #expect(mapping.blobs == engine.gauges[0].shards && mapping.bytes >= bytes)
        #expect(mapping.bytes < bytes + mapping.blobs * 65536)
        #expect(engine.clear(.ram) == bytes)
        try expectNoMappings()
    }

    @Test("a store unmaps what another process has removed, and what it removes itself")
    func unmapped() throws {
        let engine = try engine()
        #expect(try !store.remove(["gone"]).stillMapped.isEmpty)
        engine.releaseRemovedFilesPeriodically()
        #expect(engine.gauges[0].bytes == 0)
        try expectNoMappings()

        try store.importModelBlocking(ImportRequest(source: directory("model"), name: "gone"))
        try store.revision("gone").leaseBlocking(in: .ram).release()
        #expect(store.gauges[0].bytes > 0)
        _ = try store.remove(["gone"])
        #expect(store.gauges[0].bytes == 0)
        try expectNoMappings()
    }

    @Test("files are checked at once and once more after each change of the commit counter")
    func watch() {
        let watch = RemovalWatch()
        #expect([7, 7, 7, 8, 9, 9, 9].map(watch.isDue) == [true, true, false, true, true, true, false])
    }

    @Test("a deleted file counts once, up to the end of its last mapping; other files and lines do not count")
    func lines() throws {
        let lines = [
            "7f0000000000-7f0000002000 r--s 00000000 fe:00 11     /a b/blobs/ab/abcd (deleted)",
            "7f0000004000-7f0000005000 rw-p 00003000 fe:00 11     /a b/blobs/ab/abcd (deleted)",
            "7f0000006000-7f0000007000 r--s 00000000 fe:00 12     /a b/blobs/cd/cdef (deleted)",
            "7f0000008000-7f0000009000 r--s 00000000 fe:00 13     /a b/blobs/ef/ef01",
            "7f000000a000-7f000000b000 r--s 00000000 fe:00 14     /a b/blobs2/ef/ef01 (deleted)",
            "7f000000c000-7f000000d000 rw-p 00000000 00:00 0", "nonsense (deleted)", "",
        ]
        let mapping = try #require(DeletedMapping(of: "process 7 (x)", lines: lines, below: "/a b/blobs"))
        #expect(mapping.blobs == 2 && mapping.bytes == 0x4000 + 0x1000 && mapping.process == "process 7 (x)")
        #expect(DeletedMapping(of: "process 7 (x)", lines: lines, below: "/c") == nil)
    }
}
