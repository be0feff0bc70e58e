import DeviceMemory
import Foundation
import Synchronization
import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// A thousand random leases, cancellations, streams, evictions and failures at once.
@Suite(.blockingInTurn, .serialized) struct TierStressTests {
    let directory = try! TemporaryDirectory()

    /// Loads shards as `inner` does, but for one in `rarity`, which fails.
    private struct FailingMedium: TierMedium {
        struct Failure: Error {}
        let inner: any TierMedium
        let rarity: UInt64

        func reserve(bytes: Int) throws -> Reservation { try inner.reserve(bytes: bytes) }

        func notify(afterReleases skipped: Int, _ body: @escaping @Sendable () -> Void) {
            inner.notify(afterReleases: skipped, body)
        }

        func load(
            _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
            completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
        ) {
            let fails = UInt64.random(in: 0..<rarity) == 0
            inner.load(shard, at: path, into: reservation, work) {
                completion(fails ? .failure(Failure()) : $0)
            }
        }
    }

    /// Ends no load, cancelled or not, until the test allows it.
    private final class HeldMedium: TierMedium {
        private let inner: any TierMedium
        private let held = Mutex<[@Sendable () -> Void]?>([])

        init(_ inner: any TierMedium) { self.inner = inner }

        func reserve(bytes: Int) throws -> Reservation { try inner.reserve(bytes: bytes) }

        func notify(afterReleases skipped: Int, _ body: @escaping @Sendable () -> Void) {
            inner.notify(afterReleases: skipped, body)
        }

        func load(
            _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
            completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
        ) {
            let load: @Sendable () -> Void = { [inner] in
                inner.load(shard, at: path, into: reservation, work, completion: completion)
            }
            let isHeld = held.withLock { held in
                held?.append(load)
                return held != nil
            }
            if !isHeld { load() }
        }

        func release() {
            let loads = held.withLock { held in
                defer { held = nil }
                return held ?? []
            }
            for load in loads { load() }
        }
    }

    @Test("a request waits for loads that no request wants any more, and is not refused")
    func abandonedLoad() async throws {
        let model = TestModel(layers: 2)
        let store = try Store(at: directory("store"), create: true)
        try model.write(to: directory("model"))
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let medium = HeldMedium(RAMMedium(threads: try WorkerThreads(count: 1), locksPages: false))
        let revision = try store.revision("model")
        let bytes = try revision.layers().map(\.bytes).max() ?? 0
        // Space for one layer.
        let memory = MemoryTier(.ram, medium: medium, budget: bytes + bytes / 2) { [store] in store.blobs.path($0) }
        let view = RevisionView(try revision.places(), in: memory, name: "model", hold: revision.hold)
        let abandoned = PendingLease(try view.layer(0, Work()), waitsForSpace: false)
        #expect(memory.gauge.loading > 0)
        abandoned.cancel()
        let pending = PendingLease(try view.layer(1, Work()), waitsForSpace: false)
        medium.release()
        #expect(try await pending.value().layer == 1)
        await #expect(throws: CancellationError.self) { try await abandoned.value() }
        try await eventually { memory.gauge.loading == 0 && memory.isExact }
        // Leased bytes are in use as before: a request that does not wait is refused.
        let held = try await PendingLease(view.layer(1, Work())).value()
        await #expect(throws: TierError.self) {
            try await PendingLease(view.layer(0, Work()), waitsForSpace: false).value()
        }
        held.release()
    }

    private func medium(_ tier: Tier, budget: Int) throws -> any TierMedium {
        guard case .device(let name) = tier else {
            return RAMMedium(threads: try WorkerThreads(count: 3), locksPages: false)
        }
        let device = try name.open()
        return DeviceMedium(
            arena: DeviceArena(device, budget: budget),
            uploader: try Uploader(device, buffers: 4, bufferBytes: 1 << 20, fillers: 2))
    }

    @Test(
        "the sum of the residencies equals the gauge after any sequence of operations", arguments: TierTests.tiers,
        [1, 2])
    func exact(tier: Tier, seed: UInt64) async throws {
        let base = TestModel(layers: 6)
        let store = try Store(at: directory("store"), create: true)
        for (name, model) in [("base", base), ("one", base.tuned(seed: 1)), ("two", base.tuned(seed: 2))] {
            try model.write(to: directory(name))
            try store.importModelBlocking(ImportRequest(source: directory(name)))
        }
        // Space for about half of all bytes.
        let budget = 16 << 20
        let memory = MemoryTier(
            tier, medium: FailingMedium(inner: try medium(tier, budget: budget), rarity: 40), budget: budget
        ) { [store] in store.blobs.path($0) }
        let views = try ["base", "one", "two"].map { name in
            let revision = try store.revision(name)
            return RevisionView(try revision.places(), in: memory, name: name, hold: revision.hold)
        }
        let isOver = Atomic<Bool>(false)
        let watcher = Task.detached {
            while !isOver.load(ordering: .relaxed) {
                #expect(memory.isExact)
                try await Task.sleep(for: .milliseconds(1))
            }
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<8 {
                group.addTask {
                    var random = Random(seed: seed &* 1000 &+ UInt64(worker))
                    for _ in 0..<150 * Sweep.factor { try await Self.operate(views, memory, &random) }
                }
            }
            try await group.waitForAll()
        }
        isOver.store(true, ordering: .relaxed)
        try await watcher.value
        // Leases without a waiting caller are ended by the loaders' threads.
        try await eventually { memory.gauge.loading == 0 && memory.gauge.leased == 0 }
        let gauge = memory.gauge
        #expect(memory.isExact)
        #expect(gauge.leased == 0 && gauge.loading == 0)
        #expect(gauge.evictions > 40 && gauge.failures > 2 && gauge.hits > 40)
        let bytes = gauge.bytes
        #expect(memory.clear() == bytes)
        #expect(memory.isExact && memory.gauge.bytes == 0)
    }

    private static func operate(
        _ views: [RevisionView], _ memory: MemoryTier, _ random: inout Random
    ) async throws {
        let view = views.randomElement(using: &random)!
        let layer = Int.random(in: 0..<6, using: &random)
        do {
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5:
                let lease = try await view.layer(layer, Work()).lease()
                if Bool.random(using: &random) { await Task.yield() }
                // The bytes are readable: the test reads a tensor's first and last byte.
                try lease.withUnsafeBytes(of: lease.tensors[0]) { bytes in
                    #expect(bytes.count == lease.tensors[0].entry.bytes)
                    _ = bytes.first.map { $0 ^ bytes.last! }
                }
            case 5:
                let pending = try PendingLease(view.layer(layer, Work()))
                pending.cancel()
                _ = try await pending.value()
            case 6:
                // Dropped before its result was read.
                _ = try PendingLease(view.layer(layer, Work()), waitsForSpace: Bool.random(using: &random))
            case 7:
                var left = Int.random(in: 1..<6, using: &random)
                let stream = LayerStream(groups: try view.layerNumbers.map { try view.layer($0, Work()) }, ahead: 2)
                for try await _ in stream {
                    left -= 1
                    if left == 0 { break }
                }
            case 8:
                let task = Task { try await view.layer(layer, Work()).lease().bytes }
                task.cancel()
                _ = try await task.value
            default:
                if Int.random(in: 0..<5, using: &random) == 0 { memory.clear() }
            }
        } catch is CancellationError {
        } catch is FailingMedium.Failure {
        } catch TierError.full {
        }
    }
}
