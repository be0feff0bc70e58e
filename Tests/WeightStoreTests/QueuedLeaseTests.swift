import Dispatch
import Foundation
import TestSupport
import Testing

@testable import DeviceMemory
@testable import Tiers
@testable import WeightStore

/// Leases that are ready when the copies of their bytes to a device are queued.
@Suite(.blocking) struct QueuedLeaseTests {
    let directory = try! TemporaryDirectory()
    let store: Store
    let model = TestModel(layers: 2)
    /// Closed until the first signal; each copy passes it.
    private let gate = DispatchSemaphore(value: 0)

    init() throws {
        try model.write(to: directory("model"))
        store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
    }

    private func tier(_ budget: Int = 64 << 20) throws -> MemoryTier {
        let device = HostDevice { [gate] in
            gate.wait()
            gate.signal()
        }
        // A buffer for each piece: all copies can be queued before the first one runs.
        let medium = DeviceMedium(
            arena: try DeviceArena(device, budget: budget),
            uploader: try Uploader(device, buffers: 32, bufferBytes: 1 << 20, fillers: 2))
        return MemoryTier(.host, medium: medium, budget: budget) { [store] in store.blobs.path($0) }
    }

    private func expectBytes(of lease: Lease) throws {
        let infos = try SafetensorsWriter(model.tensors).tensors
        for tensor in lease.tensors {
            let info = try #require(infos.first { $0.name == tensor.entry.name })
            let found = try lease.withUnsafeBytes(of: tensor) { Array($0) }
            #expect(found == model.bytes(of: info))
        }
    }

    @Test("a lease is ready when its copies are queued, and its event completes when the bytes have arrived")
    func whenQueued() async throws {
        let memory = try tier()
        let revision = try store.revision("model")
        let view = RevisionView(try revision.places(), in: memory, name: "model", hold: revision.hold)
        let group = try view.part(.all, Work())
        let early = try await PendingLease(group, whenQueued: true).value()
        let arrival = try #require(early.arrival)
        #expect(try !arrival.isComplete)
        let hasAddresses = early.tensors.allSatisfy { early.address(of: $0) != nil }
        #expect(hasAddresses)
        #expect(memory.isExact && memory.gauge.shards == 0)
        // A second one finds the copies queued; another lease waits for the bytes.
        let second = try await PendingLease(group, whenQueued: true).value()
        let shared = early.share(early.tensors[0])
        let later = PendingLease(group)
        gate.signal()
        try arrival.synchronize()
        try expectBytes(of: early)
        try expectBytes(of: second)
        try expectBytes(of: shared)
        let whole = try await later.value()
        #expect(whole.arrival == nil)
        try expectBytes(of: whole)
        for lease in [early, second, shared, whole] { lease.release() }
        try await eventually { memory.gauge.loading == 0 }
        #expect(memory.isExact && memory.gauge.leased == 0 && memory.gauge.loading == 0)
        // The next one is a hit.
        #expect(try await PendingLease(group, whenQueued: true).value().arrival == nil)
    }

    @Test("shards whose lease was released before the bytes arrived stay in the tier, and can be evicted afterwards")
    func releasedEarly() async throws {
        let memory = try tier()
        let revision = try store.revision("model")
        let view = RevisionView(try revision.places(), in: memory, name: "model", hold: revision.hold)
        let group = try view.part(.layers(0...0), Work())
        try await PendingLease(group, whenQueued: true).value().release()
        #expect(memory.clear() == 0)
        gate.signal()
        try await eventually { memory.gauge.shards == group.shards.count }
        #expect(memory.isExact && memory.gauge.loading == 0)
        #expect(memory.clear() == memory.gauge.loaded)
    }
}
