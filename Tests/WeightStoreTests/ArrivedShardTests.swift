import Foundation
import GRDB
import Logging
import Storage
import Support
import TestSupport
import Testing
@testable import WeightStore

/// Readers get absent shards before they are durable.
@Suite(.blocking) struct ArrivedShardTests {
    private static let largeBytes = 6 << 20

    let directory = try! TemporaryDirectory()
    private let hub: RecordingHub
    private let store: Store
    private let revision: Revision
    private let heard = LogListener.Lines()

    /// A store that has none of the shards of a model. One of them is too large for a group.
    init() throws {
        var model = TestModel(layers: 1)
        model.tensors.append(.init(name: "model.layers.0.large.weight", dtype: "U8", shape: [Self.largeBytes]))
        try model.write(to: directory("model"))
        hub = RecordingHub(path: "model.safetensors", bytes: try contents(directory("model/model.safetensors")))
        _ = try Store(at: directory("store"), unfetchedFrom: hub)
        store = try Store(
            at: directory("store"), create: false,
            logger: Logger(label: "test") { [heard] _ in LogListener(heard: heard) })
        store.register(scheme: "made") { [hub] _ in hub }
        revision = try store.revision("org/model")
    }

    private func file() throws -> FileEntry { try #require(try revision.entry("model.safetensors")) }

    private func presentShards() throws -> Int {
        try store.catalog.read { db in try ShardTable.present(of: nil, verifiedBefore: nil, db).shards.count }
    }

    private func isPending() throws -> Bool {
        try store.catalog.read { [revision] db in try RevisionTable.isPending(revision.id, db) }
    }

    /// Requires that a reader gets a range, and that the catalog does not have its shards.
    ///
    /// Call it under the write lock, so that nothing can be committed.
    private func expectArrival(_ range: Range<Int>) throws {
        let before = try presentShards()
        let read = try revision.arrivingBytes(of: file(), in: range, work: Work())
        #expect(!read.isStored)
        let isEqual = try read.bytes(in: range) == Array(hub.bytes[range])
        #expect(isEqual)
        #expect(try presentShards() == before)
    }

    @Test("a reader gets shards that were never fetched before they are committed, and they are stored afterwards")
    func neverFetched() throws {
        let lock = try WriteLock(store.path + "/write.lock")
        let range = 0..<hub.bytes.count
        try lock.withLock(LockWait()) {
            try expectArrival(range)
            _ = hub.reads()
            // Other readers do not fetch them again.
            try expectArrival(1 << 20..<3 << 20)
            #expect(hub.reads().isEmpty)
        }
        #expect(try blockUntil { try !isPending() })
        let stored = try #require(try revision.storedBytes(of: file(), in: range))
        #expect(stored.isStored)
        let isEqual = try stored.bytes(in: range) == hub.bytes
        #expect(isEqual)
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("a reader gets an evicted shard before it is committed")
    func evicted() throws {
        try revision.fetch(FetchSelection(), Work())
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        let offset = try store.catalog.read { db in
            try Int.fetchOne(
                db,
                sql: """
                    SELECT extent.offset FROM extent JOIN shard ON shard.id = extent.shard_id
                    WHERE shard.bytes = ? AND shard.state = 'evicted'
                    """, arguments: [Self.largeBytes])
        }
        let start = try #require(offset)
        let lock = try WriteLock(store.path + "/write.lock")
        try lock.withLock(LockWait()) { try expectArrival(start..<start + Self.largeBytes) }
        #expect(try blockUntil { try presentShards() == 1 })
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("a shard that was read and could not be stored is not in the catalog, is logged, and is fetched again")
    func failedCommit() throws {
        let lock = try WriteLock(store.path + "/write.lock")
        let range = 0..<hub.bytes.count
        let before = try presentShards()
        try lock.withLock(LockWait()) {
            try expectArrival(range)
            // The commit cannot find the files.
            try FileManager.default.removeItem(atPath: store.path + "/partial")
        }
        #expect(
            try blockUntil {
                heard.lines.withLock { $0.contains { $0.contains("could not be stored") } }
            })
        #expect(try presentShards() == before)
        _ = hub.reads()
        let again = try revision.fetchedBytes(of: file(), in: range, work: nil)
        let isEqual = try again.bytes(in: range) == hub.bytes
        #expect(isEqual)
        #expect(!hub.reads().isEmpty)
        #expect(try !isPending())
    }
}
