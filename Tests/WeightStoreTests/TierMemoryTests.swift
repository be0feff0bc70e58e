import DeviceMemory
import Foundation
import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// The memory of tiers is the engine's: they use what leases need, and return it.
@Suite(.blocking) struct TierMemoryTests {
    let directory = try! TemporaryDirectory()
    let store: Store
    let base = TestModel(layers: 4)

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try add("base", base)
    }

    private func add(_ name: String, _ model: TestModel) throws {
        try model.write(to: directory(name))
        try store.importModelBlocking(ImportRequest(source: directory(name)))
    }

    /// A tier on a GPU whose driver is the test double.
    private func gpu(
        _ double: CUDADouble, budget: Int = 64 << 20, slabBytes: Int = 4 << 20, idleMilliseconds: Int? = nil
    ) throws -> (memory: MemoryTier, device: any Device) {
        let device = try double.open()
        let medium = DeviceMedium(
            arena: DeviceArena(device, budget: budget, slabBytes: slabBytes),
            uploader: try Uploader(device, buffers: 3, bufferBytes: 1 << 18, fillers: 2))
        let memory = MemoryTier(.gpu, medium: medium, budget: budget, idleMilliseconds: idleMilliseconds) {
            [store] in store.blobs.path($0)
        }
        return (memory, device)
    }

    private func view(_ name: String, in memory: MemoryTier) throws -> RevisionView {
        let revision = try store.revision(name)
        return RevisionView(try revision.places(), in: memory, name: name, hold: revision.hold)
    }

    private func used(_ device: any Device) throws -> Int {
        let memory = try device.memory()
        return memory.total - memory.free
    }

    @Test("a lease uses what it needs of a GPU, and clearing the tier returns what no lease holds")
    func grows() async throws {
        let (memory, device) = try gpu(CUDADouble())
        let view = try view("base", in: memory)
        #expect(try used(device) == 0)
        let lease = try await view.layer(0, Work()).lease()
        let (held, afterOne) = (memory.gauge.bytes, try used(device))
        #expect(held <= afterOne && afterOne <= held + 4 << 20)
        let other = try await view.layer(1, Work()).lease()
        let added = memory.gauge.bytes - held
        #expect(try used(device) > afterOne)
        other.release()
        #expect(memory.clear() == added)
        // The thread that has loaded the bytes may release them a moment later.
        try await eventually { try memory.clear() == 0 && used(device) <= afterOne }
        #expect(try used(device) <= afterOne)
        #expect(memory.gauge.bytes == held && memory.isExact)
        lease.release()
        #expect(memory.clear() == held)
        try await eventually { try memory.clear() == 0 && used(device) == 0 }
        #expect(try used(device) == 0)
    }

    @Test("when others use the device, shards without a lease are evicted; without such shards it is an error")
    func deviceFull() async throws {
        try add("tuned", base.tuned(seed: 7))
        let (memory, device) = try gpu(CUDADouble())
        let (one, two) = (try view("base", in: memory), try view("tuned", in: memory))
        try await one.part(.all, Work()).lease().release()
        var engine: DeviceSlab? = try DeviceSlab(device, bytes: device.memory().free)
        let lease = try await two.part(.all, Work()).lease()
        #expect(memory.gauge.evictions > 0 && memory.isExact)
        let error = await #expect(throws: DeviceError.self) { try await one.part(.all, Work()).lease() }
        guard case .outOfMemory(.cuda(0), requested: 1 << 20, free: 0) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(memory.isExact)
        #expect(engine != nil)
        engine = nil
        try await one.part(.all, Work()).lease().release()
        #expect(memory.isExact)
        withExtendedLifetime(lease) {}
    }

    @Test("a closed tier returns its memory when the last lease ends")
    func closedDevice() async throws {
        let double = try CUDADouble()
        let (memory, device) = try gpu(double)
        let view = try view("base", in: memory)
        let lease = try await view.layer(0, Work()).lease()
        let held = memory.gauge.bytes
        try await view.layer(1, Work()).lease().release()
        #expect(memory.close() > 0)
        #expect(memory.gauge.bytes == held && memory.isExact)
        let tensor = try #require(lease.tensors.first { $0.entry.name.contains("q_proj") })
        let shared = lease.share(tensor)
        lease.release()
        #expect(memory.gauge.bytes == shared.bytes)
        await #expect(throws: TierError.closed(tier: .gpu)) { try await view.layer(0, Work()).lease() }
        shared.release()
        #expect(memory.gauge.bytes == 0 && memory.isExact)
        try await eventually { try used(device) == 0 }
        #expect(try used(device) == 0)
    }

    @Test("a closed tier refuses leases until it is opened again, with any options", arguments: [Tier.ram, .host])
    func reopened(tier: Tier) async throws {
        try store.open(tier, TierOptions(budget: 64 << 20))
        #expect(throws: StorageError.self) { try store.open(tier, TierOptions(budget: 32 << 20)) }
        let revision = try store.revision("base")
        let lease = try await revision.lease(layer: 0, in: tier)
        try await revision.lease(layer: 1, in: tier).release()
        #expect(store.close(tier) > 0)
        await #expect(throws: TierError.closed(tier: tier)) { try await revision.lease(layer: 0, in: tier) }
        #expect(throws: TierError.closed(tier: tier)) { try store.revision("base").leaseBlocking(layer: 1, in: tier) }
        #expect(store.gauges.isEmpty && store.clear(tier) == 0)
        let tensor = try #require(lease.tensors.first)
        let expected = try lease.withUnsafeBytes(of: tensor) { Array($0) }
        try store.open(tier, TierOptions(budget: 32 << 20))
        let again = try await revision.lease(layer: 0, in: tier)
        #expect(try again.withUnsafeBytes(of: again.tensor(tensor.entry.name)) { Array($0) } == expected)
        #expect(store.gauges.map(\.budget) == [32 << 20])
        lease.release()
        #expect(store.gauges.map(\.bytes) == store.gauges.map(\.leased))
        withExtendedLifetime(again) {}
    }

    @Test("requests that wait for space end when the tier is closed")
    func waiting() async throws {
        let bytes = try store.revision("base").layers().map(\.bytes).max() ?? 0
        try store.open(.ram, TierOptions(budget: bytes + bytes / 2))
        let revision = try store.revision("base")
        let lease = try await revision.lease(layer: 0, in: .ram)
        let stream = Task {
            for try await layer in try revision.stream(to: .ram, layers: 1...1) { layer.release() }
        }
        let memory = try store.tiers.open(.ram)
        try await eventually { memory.state.withLock { $0.waiting.count } == 1 }
        store.close(.ram)
        await #expect(throws: TierError.closed(tier: .ram)) { try await stream.value }
        lease.release()
        #expect(memory.gauge.bytes == 0)
    }

    @Test("a tier with a limit on idle time evicts everything after it, unless a warm-up has loaded it")
    func idle() async throws {
        let (memory, device) = try gpu(CUDADouble(), idleMilliseconds: 1)
        let view = try view("base", in: memory)
        try await view.part(.all, Work()).lease().release()
        try await eventually { try memory.gauge.bytes == 0 && used(device) == 0 }
        #expect(memory.gauge.bytes == 0)
        let group = try view.layer(0, Work())
        try await PendingLease(group, warming: WarmUpRules { _ in true }).value().release()
        let idleness = try #require(memory.idleness)
        #expect(!idleness.isOver(at: .max) && !idleness.mustSchedule(at: 0))
    }

    @Test("a GPU tier without a budget has all of the GPU's memory but a tenth, and does not keep what is not used")
    func defaultBudget() async throws {
        _ = TierTests.tiers
        try await store.revision("base").lease(layer: 0, in: .gpu).release()
        let total = try DeviceName.cuda(0).open().memory().total
        #expect(store.gauges.map(\.budget) == [(total - total / 10) / 512 * 512])
        #expect(try store.tiers.open(.gpu).idleness?.milliseconds == 60_000)
        store.close(.gpu)
        try store.open(.gpu, TierOptions(budget: 64 << 20))
        #expect(try store.tiers.open(.gpu).idleness == nil)
    }

    @Test("idle time counts from the last release, and one check is scheduled at a time")
    func idleness() {
        let idleness = Idleness(milliseconds: 2)
        #expect(idleness.mustSchedule(at: 1_000_000))
        #expect(!idleness.mustSchedule(at: 5_000_000))
        idleness.checkBegins()
        #expect(!idleness.isOver(at: 6_999_999))
        #expect(idleness.isOver(at: 7_000_000))
        #expect(idleness.mustSchedule())
    }

    @Test("budgets are sizes or shares; others are errors with the allowed range")
    func budgets() throws {
        #expect(try TierBudget("8G").bytes(in: .ram) == 8_000_000_000)
        #expect(try TierBudget("8GiB").bytes(in: .host) == 8 << 30)
        #expect(try TierBudget("4096").bytes(in: .ram) == 4096)
        let (whole, half) = (try TierBudget("100%").bytes(in: .ram), try TierBudget("50%").bytes(in: .ram))
        #expect(0 < half && half < whole)
        for text in ["", "0", "-1", "1.5.2G", "12X", "0%", "101%", "%", "9223372036854775808", "½G"] {
            let error = #expect(throws: StorageError.self) { try TierBudget(text, what: "WEIGHTSTORE_RAM_BUDGET") }
            #expect("\(error!)".hasPrefix("WEIGHTSTORE_RAM_BUDGET \"\(text)\": must be a size of at least 1 byte"))
        }
        #expect(TierBudget.variable(for: .ram) == "WEIGHTSTORE_RAM_BUDGET")
        #expect(TierBudget.variable(for: .host) == "WEIGHTSTORE_HOST_BUDGET")
        #expect(try TierBudget.variable(for: Tier("cuda:3")) == "WEIGHTSTORE_GPU_BUDGET")
    }
}
