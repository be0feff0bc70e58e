import Foundation
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// KV blocks of common prompts, and the engine that computes those that are missing.
@Suite(.blocking) struct WarmPromptTests {
    let directory = try! TemporaryDirectory()
    let store: Store
    let tokens = (0..<70).map { UInt32($0) }

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try store.open(.ram, TierOptions(budget: 64 << 20))
        try TestModel(layers: 2).write(to: directory("model"))
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        try store.addPrompt(tokens, name: "system", to: "model")
    }

    /// Blocks of 16 tokens: their sum, repeated. Records the requests.
    private final class Engine: PrefillEngine {
        struct Broken: Error {}
        let requested = Mutex<[(prompt: [UInt32], firstMissing: Int, resident: Int)]>([])
        let tenants: [String]
        let most: Int
        let fails: Bool
        let store: Store

        init(_ store: Store, tenants: [String] = [""], most: Int = .max, fails: Bool = false) {
            self.store = store
            self.tenants = tenants
            self.most = most
            self.fails = fails
        }

        func kvBlocks(of revision: Revision, in store: Store) throws -> [KVBlocks] {
            try tenants.map { try store.kvBlocks(of: revision, format: "sums", blockTokens: 16, tenant: $0) }
        }

        func prefill(_ kv: KVBlocks, tokens: [UInt32], firstMissing: Int) async throws -> [[UInt8]] {
            requested.withLock { $0.append((tokens, firstMissing, store.gauges[0].bytes)) }
            if fails { throw Broken() }
            return (firstMissing..<tokens.count / 16).prefix(most).map { block in
                let sum = tokens[16 * block..<16 * block + 16].reduce(0, &+)
                return [UInt8](repeating: UInt8(truncatingIfNeeded: sum), count: 100_000)
            }
        }
    }

    private func request(_ engine: Engine?) -> WarmRequest {
        var request = WarmRequest()
        request.revisions = ["model"]
        request.engine = engine
        return request
    }

    private func kv(_ tenant: String = "") throws -> KVBlocks {
        try store.kvBlocks(of: store.revision("model"), format: "sums", blockTokens: 16, tenant: tenant)
    }

    @Test("missing blocks are computed once the weights are loaded, from the first missing one on, and stored")
    func computes() async throws {
        let kv = try kv()
        let chain = kv.chain(tokens)
        let given = [UInt8](repeating: 120, count: 100_000)
        try kv.put(chain, [given])
        let engine = Engine(store)
        let plan = try store.warmPlan(request(engine))
        #expect(plan.prefills.map { [$0.present, $0.missing] } == [[1, 3]])
        let summary = try await store.warm(request(engine))
        #expect(summary.failed.isEmpty && summary.computed == 3)
        let requested = engine.requested.withLock { $0 }
        #expect(requested.map(\.firstMissing) == [1] && requested[0].prompt == Array(tokens.prefix(64)))
        // The weights, and the block that was stored.
        #expect(requested[0].resident == plan.bytes)
        let before = store.gauges[0]
        let lease = try await kv.lease(kv.longestPrefix(of: tokens), in: .ram)
        #expect(lease.blocks == 4 && store.gauges[0].misses == before.misses)
        #expect(try lease.withUnsafeBytes(ofBlock: 3) { $0[0] } == UInt8(truncatingIfNeeded: (48..<64).reduce(0, +)))
        #expect(try lease.withUnsafeBytes(ofBlock: 0) { Array($0) } == given)
        // Nothing is left to do.
        let again = try await store.warm(request(engine))
        #expect(again.warmed == 0 && again.computed == 0 && again.plan.prefills.isEmpty)
        #expect(engine.requested.withLock { $0.count } == 1)
        #expect(store.gauges[0].leased == lease.blocks * 100_032)
    }

    @Test("each tenant has blocks of its own")
    func tenants() async throws {
        let engine = Engine(store, tenants: ["acme", "other"])
        #expect(try await store.warm(request(engine)).computed == 8)
        #expect(try kv("acme").longestPrefix(of: tokens).blocks == 4)
        #expect(try kv("other").longestPrefix(of: tokens).blocks == 4)
        #expect(try kv().longestPrefix(of: tokens).isEmpty)
        // Without the engine, all stored blocks are loaded.
        store.clear(.ram)
        let items = try store.warmPlan(request(nil)).items.filter { $0.prompt != nil }
        #expect(items.map(\.parts) == [4, 4])
    }

    @Test("an engine that returns fewer blocks, or fails, is reported, and its blocks are kept")
    func less() async throws {
        let less = try await store.warm(request(Engine(store, most: 2)))
        #expect(less.computed == 2 && less.failed.isEmpty)
        #expect(try kv().longestPrefix(of: tokens).blocks == 2)
        let none = try await store.warm(request(Engine(store, most: 0)))
        #expect(none.computed == 0 && none.failed.map(\.reason) == [.notComputed] && none.failed[0].prompt == "system")
        let broken = try await store.warm(request(Engine(store, fails: true)))
        #expect(broken.failed.map(\.reason) == [.failed] && broken.failed[0].message.contains("Broken"))
        #expect(try kv().longestPrefix(of: tokens).blocks == 2)
    }

    @Test("with little space the weights are loaded first, then the first blocks; blocks that do not fit are reported")
    func tight() async throws {
        let engine = Engine(store)
        _ = try await store.warm(request(engine))
        let all = try store.warmPlan(request(engine)).items.reduce(0) { $0 + $1.bytes }
        store.tiers.close(.ram)
        let other = try Store(at: directory("store"))
        try other.open(.ram, TierOptions(budget: all - 150_000))
        let summary = try await other.warm(request(nil))
        let blocks = try #require(summary.plan.items.first { $0.prompt == "system" })
        #expect(blocks.parts < 4 || summary.plan.items.contains { $0.prompt == nil && $0.parts < $0.allParts })
        #expect(summary.plan.skipped.map(\.reason) == [.doesNotFit])
        #expect(other.gauges[0].bytes == summary.warmed && summary.warmed <= all - 150_000)
    }

    @Test("a prompt shorter than a block, and one without an engine, are skipped with the reason")
    func reasons() async throws {
        try store.addPrompt([1, 2, 3], name: "tiny", to: "model")
        #expect(try store.warmPlan(request(nil)).skipped.map(\.reason) == [.notComputed, .notComputed])
        let plan = try store.warmPlan(request(Engine(store)))
        #expect(plan.skipped.map(\.reason) == [.tooShort] && plan.skipped[0].prompt == "tiny")
        #expect(plan.prefills.count == 1)
    }

    @Test("a block whose file is lost is dropped, the rest is loaded, and the next run computes it again")
    func lost() async throws {
        let engine = Engine(store)
        _ = try await store.warm(request(engine))
        store.clear(.ram)
        let digest = try #require(
            try store.catalog.read { db in
                try ContentDigest.fetchOne(db, sql: "SELECT digest FROM shard WHERE kind = 'kv' AND depth = 2")
            })
        try FileManager.default.removeItem(atPath: store.blobs.path(digest))
        let summary = try await store.warm(request(nil))
        #expect(summary.failed.map(\.prompt) == ["system"] && summary.failed[0].reason == .failed)
        #expect(try kv().longestPrefix(of: tokens).blocks == 2)
        let healed = try await store.warm(request(engine))
        #expect(healed.computed == 2 && healed.failed.isEmpty)
        #expect(try kv().longestPrefix(of: tokens).blocks == 4)
    }

    @Test("a request counts once for each prompt that it begins with, by every kind of lookup")
    func counts() async throws {
        try store.addPrompt(Array(tokens.prefix(32)), name: "head", to: "model")
        try store.addPrompt(
            Array(tokens.prefix(32)) + [99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99], name: "else",
            to: "model")
        let kv = try kv()
        func counted() throws -> [String: Int] {
            Dictionary(uniqueKeysWithValues: try store.prompts(of: "model").map { ($0.name, $0.accesses) })
        }
        let chain = kv.chain(tokens + [1, 2, 3])
        // No block is stored yet.
        _ = try await kv.lease(kv.longestPrefix(of: chain), in: .ram)
        #expect(try counted() == ["system": 1, "head": 1, "else": 0])
        try kv.put(chain, (0..<3).map { _ in [1, 2, 3] })
        _ = try await kv.lease(kv.longestPrefix(of: chain), in: .ram)
        #expect(try counted() == ["system": 2, "head": 2, "else": 0])
        _ = try kv.leaseBlocking(chain.prefix(), in: .ram)
        #expect(try counted() == ["system": 3, "head": 3, "else": 0])
        // Registered while the engine runs, it counts from the next request on.
        try store.addPrompt(Array(tokens.prefix(16)), name: "new", to: "model")
        _ = try kv.leaseBlocking(chain.prefix(), in: .ram)
        #expect(try counted() == ["system": 4, "head": 4, "else": 0, "new": 1])
    }
}
