import DeviceMemory
import Foundation
import ModelFormats
import Synchronization
import TestSupport
import Testing
import Tiers
@testable import WeightStore

@Suite(.blocking) struct TierTests {
    let directory = try! TemporaryDirectory()
    let base = TestModel(layers: 4)
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        for tier in Self.tiers { try store.open(tier, TierOptions(budget: 64 << 20)) }
        try add("base", base)
    }

    private func add(_ name: String, _ model: TestModel) throws {
        try model.write(to: directory(name))
        try store.importModelBlocking(ImportRequest(source: directory(name)))
    }

    private func expected(_ name: String, _ model: TestModel) throws -> [UInt8] {
        let writer = try SafetensorsWriter(model.tensors)
        return model.bytes(of: try #require(writer.tensors.first { $0.name == name }))
    }

    private func gauge(_ tier: Tier) throws -> TierGauge { try #require(store.gauges.first { $0.tier == tier }) }

    /// RAM, the host device, and a GPU whose driver is the test double.
    static let tiers: [Tier] = {
        setenv("WEIGHTSTORE_CUDA_LIBRARY", driver.path, 1)
        return [.ram, .host, .gpu]
    }()

    static let driver: CUDADouble = {
        let driver = try! CUDADouble()
        // Space for the tiers of all tests at once.
        driver.setDevices(2, bytes: 64 << 30)
        return driver
    }()

    @Test("a lease holds the exact bytes of the layer, in each tier", arguments: tiers)
    func bytes(tier: Tier) async throws {
        let revision = try store.revision("base")
        for number in 0..<4 {
            let lease = try await revision.lease(layer: number, in: tier)
            #expect(lease.tensors.count == 4)
            for tensor in lease.tensors {
                let bytes = try lease.withUnsafeBytes(of: tensor) { Array($0) }
                #expect(try bytes == expected(tensor.entry.name, base), "\(tensor.entry.name)")
            }
        }
        let whole = try await revision.lease(in: tier)
        #expect(whole.tensors.count == base.tensors.count)
        #expect(try gauge(tier).bytes == gauge(tier).leased)
    }

    @Test("a second lease moves nothing, and reads neither the catalog nor the file system", arguments: tiers)
    func hit(tier: Tier) async throws {
        let statements = Mutex(0)
        let store = try Store(at: directory("store"), create: false) { _ in statements.withLock { $0 += 1 } }
        try store.open(tier, TierOptions(budget: 64 << 20))
        let revision = try store.revision("base")
        _ = try await revision.lease(layer: 1, in: tier)
        let before = (statements.withLock { $0 }, store.gauges[0])
        // Without its blobs it can only be read from memory.
        try FileManager.default.moveItem(atPath: directory("store/blobs"), toPath: directory("store/away"))
        for _ in 0..<100 { _ = try await revision.lease(layer: 1, in: tier) }
        let after = (statements.withLock { $0 }, store.gauges[0])
        try FileManager.default.moveItem(atPath: directory("store/away"), toPath: directory("store/blobs"))
        #expect(before.0 == after.0)
        #expect(after.1.loaded == before.1.loaded)
        #expect(after.1.misses == before.1.misses)
        #expect(after.1.hits == before.1.hits + 300)
    }

    @Test("a fine-tune beside its base moves only the shards that differ", arguments: tiers)
    func fineTune(tier: Tier) async throws {
        let tuned = base.tuned(seed: 7)
        try add("tuned", tuned)
        let one = try await store.revision("base").lease(in: tier)
        let before = try gauge(tier)
        let two = try await store.revision("tuned").lease(in: tier)
        let after = try gauge(tier)
        #expect(after.loaded - before.loaded == 4 << 20)
        #expect(after.bytes == after.loaded)
        #expect(
            try one.address(of: one.tensor("model.norm.weight")) == two.address(of: two.tensor("model.norm.weight")))
        let name = "model.layers.2.self_attn.q_proj.weight"
        #expect(try one.withUnsafeBytes(of: one.tensor(name)) { Array($0) } == expected(name, base))
        #expect(try two.withUnsafeBytes(of: two.tensor(name)) { Array($0) } == expected(name, tuned))
    }

    @Test("above the budget the least recently used shards are evicted, and never a leased one", arguments: tiers)
    func budget(tier: Tier) async throws {
        let layer = try await store.revision("base").lease(layer: 0, in: tier).bytes
        store.tiers.close(tier)
        try store.open(tier, TierOptions(budget: 2 * layer + layer / 2))
        let revision = try store.revision("base")
        let held = try await revision.lease(layer: 0, in: tier)
        _ = try await revision.lease(layer: 1, in: tier)
        try await Task.sleep(for: .milliseconds(20))
        _ = try await revision.lease(layer: 2, in: tier)
        #expect(try gauge(tier).evictions > 0)
        #expect(try gauge(tier).bytes <= 2 * layer + layer / 2)
        for tensor in held.tensors {
            #expect(try held.withUnsafeBytes(of: tensor) { Array($0) } == expected(tensor.entry.name, base))
        }
        let loaded = try gauge(tier).loaded
        _ = try await revision.lease(layer: 0, in: tier)
        #expect(try gauge(tier).loaded == loaded)
        let error = await #expect(throws: TierError.self) { try await revision.lease(in: tier) }
        guard case .full = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("concurrent requests for a layer cause one load", arguments: tiers)
    func singleFlight(tier: Tier) async throws {
        let revision = try store.revision("base")
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<64 {
                group.addTask { _ = try await revision.lease(layer: 3, in: tier) }
            }
            try await group.waitForAll()
        }
        let gauge = try gauge(tier)
        #expect(gauge.loaded == gauge.bytes)
        #expect(gauge.leased == 0)
    }

    @Test("a stream yields the layers in order, and ends all their leases", arguments: tiers)
    func stream(tier: Tier) async throws {
        var numbers: [Int] = []
        for try await layer in try store.revision("base").stream(to: tier, ahead: 2) {
            numbers.append(try #require(layer.layer))
            let tensor = layer.tensors[0]
            #expect(try layer.withUnsafeBytes(of: tensor) { Array($0) } == expected(tensor.entry.name, base))
        }
        #expect(numbers == [0, 1, 2, 3])
        #expect(try gauge(tier).leased == 0)
    }

    @Test("a stream continues with space for two layers, as long as its consumer ends its leases", arguments: tiers)
    func tightStream(tier: Tier) async throws {
        let layer = try await store.revision("base").lease(layer: 0, in: tier).bytes
        store.tiers.close(tier)
        try store.open(tier, TierOptions(budget: 2 * layer + 100_000))
        for _ in 0..<5 {
            var numbers: [Int] = []
            for try await lease in try store.revision("base").stream(to: tier, ahead: 4) {
                numbers.append(try #require(lease.layer))
                await Task.yield()
            }
            #expect(numbers == [0, 1, 2, 3])
        }
        #expect(try gauge(tier).leased == 0)
        #expect(try gauge(tier).bytes <= gauge(tier).budget)
    }

    @Test("a stream continues when the memory that was evicted for it becomes free late")
    func lateMemory() async throws {
        let revision = try store.revision("base")
        let first = try await revision.lease(layer: 0, in: .host)
        store.tiers.close(.host)
        try store.open(.host, TierOptions(budget: first.bytes + 100_000))
        first.release()
        // As a thread that has not let go of the bytes that it uploaded.
        var held: [Payload] = []
        do {
            let lease = try await revision.lease(layer: 0, in: .host)
            held = lease.tensors.compactMap { $0.shard?.payload }
            #expect(!held.isEmpty)
        }
        let count = Mutex(0)
        let task = Task {
            for try await _ in try revision.stream(to: .host, ahead: 1) { count.withLock { $0 += 1 } }
        }
        // More than the second after which a request that does not wait fails.
        try await Task.sleep(for: .seconds(2))
        #expect(count.withLock { $0 } == 1)
        held = []
        try await task.value
        #expect(count.withLock { $0 } == 4)
    }

    @Test("a cancelled stream stops and ends all its leases", arguments: tiers)
    func cancelledStream(tier: Tier) async throws {
        let revision = try store.revision("base")
        let task = Task {
            for try await layer in try revision.stream(to: tier, ahead: 3) where layer.layer == 1 {
                withUnsafeCurrentTask { $0?.cancel() }
            }
        }
        await #expect(throws: CancellationError.self) { try await task.value }
        // Loads that were running at the cancellation end by themselves.
        try await eventually { try gauge(tier).loading == 0 }
        #expect(try gauge(tier).leased == 0)
        #expect(try gauge(tier).loading == 0)
    }

    @Test(
        "a shard that is missing, short or changed in size is a typed error, and nothing is left over", arguments: tiers
    )
    func damaged(tier: Tier) async throws {
        let revision = try store.revision("base")
        let digest = try #require(try revision.tensorEntries(named: "model.embed_tokens.weight").first?.shard)
        let path = store.blobs.path(digest)
        let whole = try contents(path)
        try FileManager.default.removeItem(atPath: path)
        await #expect(throws: StorageError.missing(path: path, digest: digest)) {
            try await revision.lease(tensor: "model.embed_tokens.weight", in: tier)
        }
        try Data(whole.dropLast(10)).write(to: URL(fileURLWithPath: path))
        await #expect(
            throws: StorageError.damaged(
                path: path, digest: digest, expected: "\(whole.count) bytes", found: "\(whole.count - 10) bytes")
        ) { try await revision.lease(in: tier) }
        try await eventually { try gauge(tier).loading == 0 }
        #expect(try gauge(tier).leased == 0)
        try Data(whole).write(to: URL(fileURLWithPath: path))
        _ = try await revision.lease(in: tier)
    }

    @Test("an expert is leased alone, and the layer's shared tensors without it", arguments: tiers)
    func experts(tier: Tier) async throws {
        var model = TestModel(layers: 1)
        for expert in 0..<3 {
            model.tensors.append(
                .init(name: "model.layers.0.mlp.experts.\(expert).up_proj.weight", dtype: "BF16", shape: [512, 1024]))
        }
        try add("moe", model)
        let revision = try store.revision("moe")
        let expert = try await revision.lease(expert: 1, ofLayer: 0, in: tier)
        #expect(expert.tensors.map(\.entry.name) == ["model.layers.0.mlp.experts.1.up_proj.weight"])
        #expect(try gauge(tier).bytes == 1 << 20)
        let shared = try await revision.lease(nonExpertsOfLayer: 0, in: tier)
        #expect(shared.tensors.allSatisfy { $0.entry.expert == nil })
        #expect(try gauge(tier).shards < 6)
    }

    @Test("a lease ends once, however often its end is called")
    func release() async throws {
        let lease = try await store.revision("base").lease(layer: 0, in: .ram)
        let other = try await store.revision("base").lease(layer: 0, in: .ram)
        lease.release()
        lease.release()
        #expect(try gauge(.ram).leased == gauge(.ram).bytes)
        other.release()
        #expect(try gauge(.ram).leased == 0)
    }

    /// Several rounds: threads that load a lease's shards must not hold its revision after they have delivered it.
    @Test("a revision with a lease is not removed, and can be removed as soon as the lease ends")
    func holdsRevision() async throws {
        for _ in 0..<20 {
            let other = try Store(at: directory("store"))
            var lease: Lease? = try await other.revision("base").lease(in: .ram)
            let error = #expect(throws: StoreError.self) { try store.remove(["base"]) }
            guard case .inUse = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            withExtendedLifetime(lease) {}
            lease = nil
            try store.remove(["base"])
            try add("base", base)
        }
    }

    @Test("the uses of shards in memory are written to the catalog in a batch")
    func counts() async throws {
        do {
            let other = try Store(at: directory("store"))
            for _ in 0..<10 { _ = try await other.revision("base").lease(layer: 1, in: .ram) }
        }
        #expect(try store.stats().accesses == 30)
    }

    @Test("an unknown device is a clear error, and never another tier")
    func unknownDevice() throws {
        #expect(throws: DeviceError.unknownName("tpu")) { try Tier("tpu") }
    }
}
