import DeviceMemory
import Support
import Synchronization
import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// Requests that wait for space in a tier.
@Suite(.blocking) struct WaitingRequestTests {
    let directory = try! TemporaryDirectory()
    let store: Store
    let revision: Revision
    /// The size of a layer: two tensors of 1 MiB, and a small shard.
    let bytes: Int

    init() throws {
        try TestModel(layers: 5).write(to: directory("model"))
        store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        revision = try store.revision("model")
        bytes = try revision.layers().map(\.bytes).max() ?? 0
    }

    /// Counts the reservations that are tried.
    private final class CountingMedium: TierMedium {
        private let inner: any TierMedium
        private let count = Atomic<Int>(0)

        init(_ inner: any TierMedium) { self.inner = inner }

        var attempts: Int { count.load(ordering: .sequentiallyConsistent) }

        func reserve(bytes: Int) throws -> Reservation {
            count.add(1, ordering: .sequentiallyConsistent)
            return try inner.reserve(bytes: bytes)
        }

        func notify(afterReleases skipped: Int, _ body: @escaping @Sendable () -> Void) {
            inner.notify(afterReleases: skipped, body)
        }

        func load(
            _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
            completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
        ) { inner.load(shard, at: path, into: reservation, work, completion: completion) }
    }

    private func tier(_ tier: Tier, _ medium: any TierMedium, budget: Int) throws -> (MemoryTier, RevisionView) {
        let memory = MemoryTier(tier, medium: medium, budget: budget) { [store] in store.blobs.path($0) }
        return (memory, RevisionView(try revision.places(), in: memory, name: "model", hold: revision.hold))
    }

    private func waiting(_ memory: MemoryTier) -> Int { memory.state.withLock { $0.waiting.count } }

    @Test(
        "a request that waits for evicted memory is started by its release, and not before",
        arguments: [true, false])
    func lateMemory(holdsAll: Bool) async throws {
        let device = try DeviceName.host.open()
        let budget = bytes + 8192
        let arena = DeviceArena(device, budget: budget)
        let uploader = try Uploader(device, buffers: 4, bufferBytes: 1 << 20, fillers: 2)
        let medium = CountingMedium(DeviceMedium(arena: arena, uploader: uploader))
        let (memory, view) = try tier(.host, medium, budget: budget)
        var held: [Payload] = []
        do {
            let lease = try await view.layer(0, Work()).lease()
            // Beside the small shard alone, the large ones of the next layer have space, which the request returns.
            held = lease.group.shards.filter { holdsAll || $0.bytes < 1 << 20 }.map(\.payload)
            #expect(held.count == (holdsAll ? 3 : 1))
        }
        memory.clear()
        // The threads that have uploaded the other shards may release them a moment later.
        let regions = held.count
        try await eventually { arena.usage.regions == regions }
        let pending = PendingLease(try view.layer(1, Work()), waitsForSpace: true)
        #expect(waiting(memory) == 1)
        let attempts = medium.attempts
        try await Task.sleep(for: .milliseconds(300))
        #expect(medium.attempts == attempts)
        #expect(held.count == regions)
        held = []
        #expect(try await pending.value().layer == 1)
        #expect(waiting(memory) == 0 && memory.isExact)
    }

    @Test("requests that wait for releases get space in their order, however many releases are too small for the first")
    func order() async throws {
        let medium = RAMMedium(threads: try WorkerThreads(count: 2), locksPages: false)
        let (memory, view) = try tier(.ram, medium, budget: 2 * bytes + 8192)
        var leases = [try await view.layer(0, Work()).lease(), try await view.layer(1, Work()).lease()]
        let pending = try (2..<5).map { PendingLease(try view.layer($0, Work()), waitsForSpace: true) }
        #expect(waiting(memory) == 3)
        for (index, next) in pending.enumerated() {
            // One shard after the other: only the last release makes space for a layer.
            leases.removeFirst().release()
            leases.append(try await next.value())
            #expect(leases.last?.layer == index + 2)
            #expect(waiting(memory) == 2 - index)
        }
        leases = []
        #expect(memory.gauge.leased == 0 && memory.isExact)
    }

    @Test("a request that waits behind another one is started when that one is cancelled")
    func cancelled() async throws {
        let medium = RAMMedium(threads: try WorkerThreads(count: 2), locksPages: false)
        let (memory, view) = try tier(.ram, medium, budget: bytes + bytes / 2)
        func tensor(_ layer: Int) throws -> ShardGroup {
            try view.part(.tensor(ByteText("model.layers.\(layer).self_attn.q_proj.weight")), Work())
        }
        let held = try await view.layer(0, Work()).lease()
        let released = try await tensor(1).lease()
        let first = PendingLease(try view.layer(2, Work()), waitsForSpace: true)
        let second = PendingLease(try tensor(3), waitsForSpace: true)
        #expect(waiting(memory) == 2)
        released.release()
        // There is space for the second only, but it is not its turn.
        #expect(waiting(memory) == 2)
        first.cancel()
        #expect(try await second.value().tensors.count == 1)
        await #expect(throws: CancellationError.self) { try await first.value() }
        #expect(waiting(memory) == 0 && memory.isExact)
        held.release()
    }
}
