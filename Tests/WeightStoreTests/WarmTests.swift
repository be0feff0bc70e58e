import DeviceMemory
import Foundation
import Synchronization
import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// The most used models are in memory before the first request.
@Suite(.blockingInTurn, .serialized) struct WarmTests {
    let directory = try! TemporaryDirectory()
    let base = TestModel(layers: 4)

    init() throws {
        let store = try Store(at: directory("store"), create: true)
        try add("base", base, to: store)
        try add("tuned", base.tuned(seed: 7), to: store)
        try add("other", TestModel(layers: 3, seed: 3), to: store)
        try add("unused", TestModel(layers: 2, seed: 4), to: store)
    }

    /// A model that can be fetched again from its directory.
    private func add(_ name: String, _ model: TestModel, to store: Store, source: String? = nil) throws {
        let source = source ?? name
        try model.write(to: directory(source))
        var request = ImportRequest(source: directory(source), name: name)
        request.origins = ["file://\(directory(source))"]
        try store.importModelBlocking(request)
    }

    private func open(_ tier: Tier, budget: Int = 64 << 20) throws -> Store {
        let store = try Store(at: directory("store"))
        try store.open(tier, TierOptions(budget: budget))
        return store
    }

    /// Uses of whole models, as a process that ended left them.
    private func use(_ uses: KeyValuePairs<String, Int>) async throws {
        let store = try open(.ram)
        for (name, count) in uses {
            for _ in 0..<count { _ = try await store.revision(name).lease(in: .ram) }
        }
    }

    private func request(_ tier: Tier, _ revisions: String...) -> WarmRequest {
        var request = WarmRequest(to: tier)
        request.revisions = revisions
        return request
    }

    private func bytes(_ names: String..., in store: Store) throws -> Int {
        var shards: [ContentDigest: Int] = [:]
        for name in names {
            for place in try store.revision(name).places() { shards[place.entry.shard!] = place.shardBytes }
        }
        return shards.values.reduce(0, +)
    }

    /// The tensors' shards that are in the tier.
    private func resident(_ name: String, in store: Store, _ tier: Tier) throws -> [LayerResidency] {
        try store.revision(name).residency(in: tier)
    }

    @Test(
        "after a restart the most used models are loaded, shared shards once, and their first use is a hit",
        arguments: TierTests.tiers)
    func firstUse(tier: Tier) async throws {
        try await use(["base": 5, "tuned": 3, "other": 1])
        let store = try open(tier)
        var request = WarmRequest(to: tier)
        request.top = 2
        let summary = try await store.warm(request)
        #expect(summary.failed.isEmpty)
        #expect(summary.plan.items.map(\.revision) == ["base@~1", "tuned@~1"])
        #expect(summary.plan.beyondTop == 1)
        #expect(summary.plan.items[1].shared > 0)
        #expect(abs(summary.plan.items[0].uses - 5) < 0.1 && abs(summary.plan.items[1].uses - 3) < 0.1)
        let before = store.gauges[0]
        #expect(before.loaded == before.bytes && before.bytes == summary.warmed)
        #expect(before.hits == 0 && before.misses == 0 && before.leased == 0)
        for name in ["base", "tuned"] { _ = try await store.revision(name).lease(in: tier) }
        let after = store.gauges[0]
        #expect(after.misses == 0 && after.loaded == before.loaded)
        #expect(after.hits > 0)
        _ = try await store.revision("other").lease(in: tier)
        #expect(store.gauges[0].misses > 0)
    }

    @Test("a warm-up does what its plan says", arguments: [100, 16, 7, 3, 1])
    func plan(megabytes: Int) async throws {
        try await use(["base": 5, "tuned": 3, "other": 4, "unused": 1])
        let store = try open(.ram, budget: megabytes << 20)
        let plan = try store.warmPlan(WarmRequest())
        #expect(store.gauges[0].bytes == 0)
        #expect(plan.bytes <= plan.budget)
        let summary = try await store.warm(WarmRequest())
        #expect(summary.failed.isEmpty)
        #expect(summary.warmed == plan.bytes)
        #expect(store.gauges[0].bytes == plan.bytes)
        func shape(_ plan: WarmPlan) -> [String] {
            plan.items.map { "\($0.revision) \($0.parts) \($0.bytes) \($0.shared)" }
                + plan.skipped.map { "\($0.revision) \($0.bytes) \($0.reason)" }
        }
        #expect(shape(summary.plan) == shape(plan))
        for entry in plan.items {
            let layers = try resident(entry.revision, in: store, .ram)
            #expect(layers.prefix(entry.parts).allSatisfy { $0.resident == $0.bytes })
        }
        // Every hot shard is loaded, or reported as skipped.
        let wanted = try bytes("base", "tuned", "other", "unused", in: store)
        if megabytes == 100 {
            #expect(plan.skipped.isEmpty && plan.bytes >= wanted)
        } else {
            #expect(plan.skipped.allSatisfy { $0.reason == .doesNotFit && $0.bytes > 0 } && !plan.skipped.isEmpty)
        }
    }

    @Test("with space for less than one model its first layers are loaded, in order")
    func tight() async throws {
        try await use(["base": 3])
        let store = try open(.ram, budget: 6 << 20)
        let summary = try await store.warm(WarmRequest())
        let entry = try #require(summary.plan.items.first)
        #expect(entry.parts == 2 && entry.allParts == 4)
        #expect(try resident("base", in: store, .ram).map { $0.resident == $0.bytes } == [true, true, false, false])
        #expect(summary.plan.skipped.map(\.reason) == [.doesNotFit])
        #expect(summary.plan.skipped[0].message.contains("2 of 4 layers"))
        #expect(entry.bytes + summary.plan.skipped[0].bytes >= (try bytes("base", in: store)))
    }

    @Test("a second run moves nothing, and a warm-up does not count as an access", arguments: TierTests.tiers)
    func again(tier: Tier) async throws {
        try await use(["base": 2, "other": 1])
        let heat: (Store) throws -> [Double] = { store in
            store.flush()
            return try store.warmPlan(WarmRequest(to: tier)).items.map(\.uses)
        }
        let store = try open(tier)
        let uses = try heat(store)
        let accesses = try store.stats().accesses
        let opened = try store.models().map(\.accesses)
        _ = try await store.warm(WarmRequest(to: tier))
        let loaded = store.gauges[0].loaded
        let second = try await store.warm(WarmRequest(to: tier))
        #expect(second.warmed == 0 && second.plan.bytes == 0)
        #expect(second.plan.items.allSatisfy { $0.added == 0 && $0.resident > 0 })
        #expect(store.gauges[0].loaded == loaded)
        #expect(zip(uses, try heat(store)).allSatisfy { abs($0 - $1) < 0.01 })
        #expect(try store.stats().accesses == accesses)
        #expect(try store.models().map(\.accesses) == opened)
    }

    @Test("hotter and equally hot shards are not evicted; colder ones are", arguments: TierTests.tiers)
    func hotter(tier: Tier) async throws {
        let budget = try bytes("base", in: open(tier)) + (1 << 20)
        do {
            let store = try open(tier, budget: budget)
            for _ in 0..<3 { _ = try await store.revision("base").lease(in: tier) }
            while store.gauges[0].leased > 0 { await Task.yield() }
            let cold = try await store.warm(request(tier, "other"))
            #expect(store.gauges[0].evictions == 0)
            #expect(cold.plan.evicted == 0)
            #expect(cold.plan.skipped.map(\.reason) == [.doesNotFit])
            #expect(try resident("base", in: store, tier).allSatisfy { $0.resident == $0.bytes })
        }
        try await use(["other": 9])
        let store = try open(tier, budget: budget)
        _ = try await store.revision("base").lease(in: tier)
        // The loader's thread may hold it for a moment.
        while store.gauges[0].leased > 0 { await Task.yield() }
        let plan = try store.warmPlan(request(tier, "other"))
        let hot = try await store.warm(request(tier, "other"))
        #expect(plan.evicted > 0 && hot.plan.evicted == plan.evicted)
        #expect(hot.failed.isEmpty && hot.plan.skipped.isEmpty)
        #expect(try resident("other", in: store, tier).allSatisfy { $0.resident == $0.bytes })
        #expect(store.gauges[0].evictions > 0)
        #expect(store.gauges[0].bytes <= budget)
    }

    @Test("a leased shard is not evicted, however cold it is and however hot the incoming one is")
    func leased() async throws {
        try await use(["other": 9])
        let store = try open(.ram, budget: try bytes("base", in: open(.ram)) + (1 << 20))
        let lease = try await store.revision("base").lease(in: .ram)
        let summary = try await store.warm(request(.ram, "other"))
        #expect(store.gauges[0].evictions == 0)
        #expect(summary.plan.skipped.map(\.reason) == [.doesNotFit])
        #expect(lease.tensors.count == base.tensors.count)
    }

    @Test("a warm-up that is cancelled in the middle stops, and ends all its leases", arguments: [Tier.gpu])
    func cancelled(tier: Tier) async throws {
        try await use(["base": 2, "other": 1])
        let store = try open(tier)
        let plan = try store.warmPlan(WarmRequest(to: tier))
        let work = Work()
        TierTests.driver.hold(true)
        let task = Task { try await store.execute(plan, work) }
        // Copies are held back: something is under way, and can't end.
        while store.gauges[0].loading == 0 { try await Task.sleep(for: .milliseconds(5)) }
        task.cancel()
        TierTests.driver.hold(false)
        await #expect(throws: CancellationError.self) { try await task.value }
        while store.gauges[0].loading > 0 { try await Task.sleep(for: .milliseconds(5)) }
        let gauge = store.gauges[0]
        #expect(gauge.leased == 0)
        #expect(gauge.bytes < plan.bytes && work.progress.done < work.progress.total)
        #expect(try store.tiers.open(tier).isExact)
        // No lease is left, and the next run continues from there.
        let rest = try await store.warm(WarmRequest(to: tier))
        #expect(rest.warmed == plan.bytes - gauge.bytes)
        #expect(store.gauges[0].bytes == plan.bytes)
        #expect(try store.stats().processes.isEmpty)
    }

    @Test("shards that were evicted from the disk are fetched, or skipped with the reason", arguments: TierTests.tiers)
    func evicted(tier: Tier) async throws {
        try await use(["base": 5, "other": 2])
        let store = try open(tier)
        #expect(try store.evictBlocking(EvictionRequest(.downTo(0))).bytes > 0)
        var request = WarmRequest(to: tier)
        request.fetches = false
        let without = try await store.warm(request)
        #expect(without.plan.items.isEmpty && without.warmed == 0)
        #expect(without.plan.skipped.map(\.reason) == [.evicted, .evicted])
        request.fetches = true
        let plan = try store.warmPlan(request)
        #expect(plan.fetchBytes == plan.bytes && plan.diskBytes == 0)
        let summary = try await store.warm(request)
        #expect(summary.failed.isEmpty && summary.warmed == plan.bytes)
        let misses = store.gauges[0].misses
        _ = try await store.revision("base").lease(in: tier)
        #expect(store.gauges[0].misses == misses)
    }

    @Test("a model whose origin fails is skipped with the reason, and the others are loaded")
    func failingOrigin() async throws {
        try await use(["base": 5, "other": 2])
        let store = try open(.ram)
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        try FileManager.default.removeItem(atPath: directory("base/model.safetensors"))
        let summary = try await store.warm(WarmRequest())
        #expect(summary.failed.map(\.revision) == ["base@~1"])
        #expect(summary.failed[0].reason == .failed && summary.failed[0].message.contains("model.safetensors"))
        #expect(summary.failed[0].bytes == summary.plan.bytes - summary.warmed)
        #expect(try resident("other", in: store, .ram).allSatisfy { $0.resident == $0.bytes })
        #expect(store.gauges[0].leased == 0)
    }

    @Test("a model whose bytes are lost is skipped with the reason")
    func lost() async throws {
        let local = try Store(at: directory("store"))
        try TestModel(layers: 1, seed: 9).write(to: directory("local"))
        try local.importModelBlocking(ImportRequest(source: directory("local")))
        try await use(["local": 5, "base": 1])
        let digest = try #require(try local.revision("local").places().first { $0.entry.layer == 0 }?.entry.shard)
        try FileManager.default.removeItem(atPath: local.blobs.path(digest))
        #expect(try local.verifyBlocking(VerifyRule()).damage.count == 1)
        let summary = try await open(.ram).warm(WarmRequest())
        #expect(summary.plan.items.map(\.revision) == ["base@~1"])
        #expect(summary.plan.skipped.map(\.revision) == ["local@~1"])
        #expect(summary.plan.skipped.map(\.reason) == [.lost])
    }

    @Test("two concurrent warm-ups load each shard once", arguments: TierTests.tiers)
    func twice(tier: Tier) async throws {
        try await use(["base": 5, "tuned": 3, "other": 1])
        let store = try open(tier)
        async let one = store.warm(WarmRequest(to: tier))
        async let two = store.warm(WarmRequest(to: tier))
        let summaries = try await [one, two]
        #expect(summaries.allSatisfy { $0.failed.isEmpty && $0.plan.skipped.isEmpty })
        let gauge = store.gauges[0]
        #expect(gauge.loaded == gauge.bytes)
        #expect(
            gauge.bytes
                == summaries.map(\.plan).map { plan in plan.items.reduce(0) { $0 + $1.resident + $1.added } }.max())
        #expect(gauge.leased == 0 && gauge.misses == 0)
        #expect(try store.tiers.open(tier).isExact)
    }

    @Test("a new version inherits the heat of the one it replaced, until the old one is used again")
    func replaced() async throws {
        try await use(["base": 5, "other": 1])
        do {
            let store = try Store(at: directory("store"))
            try add("base", base.tuned(seed: 11), to: store, source: "base-2")
        }
        let store = try open(.ram)
        // The ref moved in the second of the last use, or later.
        let plan = try store.warmPlan(WarmRequest())
        #expect(plan.items.map(\.revision) == ["base@~2", "other@~1"])
        #expect(plan.items[0].parts == 4)
        #expect(plan.skipped.isEmpty)
        try await Task.sleep(for: .seconds(1.1))
        try await use(["base@~1": 1])
        #expect(try store.warmPlan(WarmRequest()).items.map(\.revision) == ["base@~1", "other@~1"])
    }

    @Test("an unused fine-tune is not popular beside its base, and unused layers are not loaded")
    func unused() async throws {
        do {
            let store = try open(.ram)
            for _ in 0..<4 { _ = try await store.revision("base").lease(layer: 1, in: .ram) }
            // Read without a use.
            _ = try store.revision("tuned")
        }
        let store = try open(.ram)
        let summary = try await store.warm(WarmRequest())
        #expect(summary.plan.items.map(\.revision) == ["base@~1"])
        #expect(try resident("base", in: store, .ram).map { $0.resident > 0 } == [false, true, false, false])
        // By name, all of it is loaded.
        let named = try await store.warm(request(.ram, "tuned@main"))
        #expect(named.plan.skipped.isEmpty)
        #expect(try resident("tuned", in: store, .ram).allSatisfy { $0.resident == $0.bytes })
    }

    @Test("a tier's policy sees warmed shards as hot as they were before the restart")
    func policy() async throws {
        try await use(["base": 5])
        let store = try Store(at: directory("store"))
        let budget = try bytes("base", in: store) + (4 << 20)
        // By heat alone: the built-in policy weighs it with the duration of each load.
        try directory.write(
            "SELECT shard_id FROM candidate ORDER BY heat, last_access, shard_id", to: "store/policies/hot.sql")
        try store.open(.ram, TierOptions(budget: budget, policy: try store.policy("hot")))
        _ = try await store.warm(WarmRequest())
        // Each is used once, and later; they evict each other.
        for layer in [0, 1, 2, 0, 1, 2] {
            _ = try await store.revision("other").lease(layer: layer, in: .ram)
            // The loader may end its lease a moment later; leased shards are not evicted.
            while store.gauges[0].leased > 0 { try await Task.sleep(for: .milliseconds(1)) }
        }
        #expect(store.gauges[0].evictions > 0)
        #expect(try resident("base", in: store, .ram).allSatisfy { $0.resident == $0.bytes })
    }

    @Test("without an access there is nothing to warm; an unknown name is an error")
    func empty() async throws {
        let store = try open(.ram)
        let summary = try await store.warm(WarmRequest())
        #expect(summary.plan.items.isEmpty && summary.plan.skipped.isEmpty && summary.warmed == 0)
        await #expect(throws: StorageError.self) { try await store.warm(request(.ram, "nobody")) }
    }

    @Test("shards that only a slow origin has are worth more per byte than shards on the disk")
    func worth() {
        func shards(_ name: UInt8, isPresent: Bool, uses: Double) -> [WarmShard] {
            [
                WarmShard(
                    digest: ContentDigest([UInt8](repeating: name, count: 32))!, bytes: 10 << 20, layer: 0,
                    isPresent: isPresent,
                    isAvailable: true, uses: uses, fetchSeconds: nil)
            ]
        }
        func candidate(_ number: UInt8, isPresent: Bool, uses: Double) -> WarmPlanner.Candidate {
            var revision = PopularRevision(
                id: Int64(number), model: "\(number)", digest: ContentDigest([UInt8](repeating: number, count: 32))!,
                version: 1)
            revision.uses = uses
            return .init(item: WarmItem(revision, uses: uses), shards: shards(number, isPresent: isPresent, uses: uses))
        }
        var planner = WarmPlanner(WarmPlan(tier: .ram, budget: 20 << 20), residents: [:], underWay: [:])
        let plan = planner.plan([
            candidate(1, isPresent: true, uses: 5), candidate(2, isPresent: false, uses: 2),
            candidate(3, isPresent: true, uses: 6),
        ])
        #expect(plan.items.map(\.revision) == ["2@~1", "3@~1"])
        #expect(plan.skipped.map(\.revision) == ["1@~1"])
    }
}
