import Foundation
import GRDB
import TestSupport
import Testing
@testable import WeightStore

/// The quota of KV blocks, and the order of their eviction.
@Suite(.blocking) struct KVEvictionTests {
    let fixture = try! KVFixture()

    private func put(_ tokens: [UInt32], of kv: KVBlocks) throws {
        try kv.put(kv.chain(tokens), fixture.bytes(of: tokens))
    }

    /// Sets when a block was used last, and how often.
    private func set(_ kv: KVBlocks, _ tokens: [UInt32], lastAccess: Int, uses: Int = 1) throws {
        let digest = try fixture.shard(kv, tokens)
        try fixture.store.catalog.write { db in
            try db.execute(
                sql: "UPDATE shard SET last_access = ?, access_count = ? WHERE digest = ?",
                arguments: [lastAccess, uses, digest])
        }
    }

    private func evict(_ bytes: Int, _ policy: String, dryRun: Bool = false) throws -> EvictionSummary {
        var request = EvictionRequest(.free(bytes), of: .kv)
        request.policy = try fixture.store.policy(policy)
        request.dryRun = dryRun
        return try fixture.store.evictBlocking(request)
    }

    @Test(
        "under any policy, a block is evicted only after all its descendants", arguments: Policy.builtIn.map(\.name))
    func leavesFirst(policy: String) throws {
        let kv = try fixture.blocks()
        var random = Random(seed: 3)
        let trunk = fixture.tokens(40, seed: 1)
        let prompts = (0..<6).map { number in
            trunk.prefix(4 * Int.random(in: 1...9, using: &random)) + fixture.tokens(40, seed: UInt64(10 + number))
        }
        for prompt in prompts { try put(Array(prompt), of: kv) }
        // The trunk was used longest ago and least: every policy names it first.
        try fixture.store.catalog.write { db in
            try db.execute(sql: "UPDATE shard SET last_access = 1000 + depth, access_count = depth WHERE kind = 'kv'")
        }
        while try fixture.store.kvGauge().blocks > 0 {
            let before = try fixture.store.kvGauge().blocks
            let evicted = try evict(500, policy)
            #expect(evicted.shards > 0 && evicted.rejection == nil && evicted.policy == policy)
            #expect(evicted.shards <= 5, "no more than the blocks of 500 bytes")
            #expect(try fixture.store.kvGauge().blocks == before - evicted.shards)
            #expect(try fixture.orphans() == 0)
        }
        #expect(try fixture.differences() == [])
    }

    @Test("of the blocks without descendants, the one that the policy names first is always evicted")
    func order() throws {
        let kv = try fixture.blocks()
        let (first, second) = (fixture.tokens(12, seed: 1), fixture.tokens(8, seed: 2))
        for tokens in [first, second] { try put(tokens, of: kv) }
        for (tokens, last) in [(first, 50), (second, 40)] {
            for end in stride(from: 4, through: tokens.count, by: 4) {
                try set(kv, Array(tokens[..<end]), lastAccess: last)
            }
        }
        // The root of the second is the least recently used; its tail is evicted first, then the root, then the other
        // sequence from its end.
        let expected = [Array(second), Array(second[..<4]), Array(first), Array(first[..<8]), Array(first[..<4])]
        let digests = try expected.map { try #require(try fixture.shard(kv, $0)) }
        #expect(try fixture.store.victims(of: .lru, for: .kv).victims.map(\.digest) == digests)
        #expect(try fixture.store.victims(of: .lru, for: .kv, count: 2).victims.map(\.depth) == [1, 0])
        let dry = try evict(1, "lru", dryRun: true)
        #expect(dry.shards == 1)
        #expect(try fixture.store.kvGauge().blocks == 5)
    }

    @Test("tail evicts a deep block before a head that was used a little earlier")
    func tail() throws {
        let kv = try fixture.blocks()
        let (long, short) = (fixture.tokens(40, seed: 1), fixture.tokens(4, seed: 2))
        for tokens in [long, short] { try put(tokens, of: kv) }
        for end in stride(from: 4, through: 40, by: 4) { try set(kv, Array(long[..<end]), lastAccess: 1010) }
        try set(kv, short, lastAccess: 1000)
        let victims = try fixture.store.victims(of: fixture.store.policy("tail"), for: .kv).victims
        #expect(victims.first?.depth == 9)
        #expect(try fixture.store.victims(of: .lru, for: .kv).victims.first?.digest == fixture.shard(kv, short))
        #expect(victims.firstIndex { $0.digest == (try? fixture.shard(kv, short)) } == 5)
    }

    @Test("weights and KV blocks never evict each other, and each has its own count")
    func apart() throws {
        let store = fixture.store
        var request = ImportRequest(source: fixture.directory("model-1"), name: "org/model")
        request.origins = ["file://\(fixture.directory("model-1"))"]
        try store.importModelBlocking(request)
        let kv = try fixture.blocks(of: "org/model")
        let tokens = fixture.tokens(40, seed: 1)
        try put(tokens, of: kv)
        let gauge = try store.diskGauge()
        #expect(
            try gauge.shards
                == store.catalog.read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM shard WHERE kind <> 'kv'")
                })
        #expect(try store.stats().shards == gauge.shards && store.stats().kvBlocks == 10)
        #expect(try store.usage().stored == gauge.bytes && store.usage().kv == store.kvGauge().bytes)
        #expect(try store.victims(of: .lru, count: 1000).victims.allSatisfy { $0.kind != .kv })
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        #expect(try kv.longestPrefix(of: tokens).blocks == 10)
        let left = try store.diskGauge().bytes
        try store.evictBlocking(EvictionRequest(.downTo(0), of: .kv))
        #expect(try kv.longestPrefix(of: tokens).isEmpty)
        #expect(try store.diskGauge().bytes == left)
        // Each has its own quota, policy and clock.
        var quota = Quota(bytes: 1 << 20)
        quota.policy = "gdsf"
        try store.setQuota(quota, of: .kv)
        #expect(try store.quota.bytes == nil && store.quota.policy == "lru")
        #expect(try store.quota(of: .kv) == quota)
        try put(tokens, of: kv)
        _ = try kv.leaseBlocking(kv.chain(tokens).prefix(), in: .ram)
        _ = try evict(300, "gdsf")
        let clocks = try store.catalog.read { db in
            (try EvictionClock(.weights).now(db), try EvictionClock(.kv).now(db))
        }
        #expect(clocks.0 == 0 && clocks.1 > 0)
    }

    @Test("a put above the quota evicts, keeps the ancestors of its blocks, and skips blocks at the tail")
    func quota() throws {
        let kv = try fixture.blocks()
        try fixture.store.setQuota(Quota(bytes: 2000), of: .kv)
        for seed in 1...8 { try put(fixture.tokens(20, seed: UInt64(seed)), of: kv) }
        #expect(try fixture.store.kvGauge().bytes <= 2000)
        // The last sequence is stored completely.
        #expect(try kv.longestPrefix(of: fixture.tokens(20, seed: 8)).blocks == 5)
        let long = fixture.tokens(200, seed: 9)
        let head = try kv.put(kv.chain(long), blocks: 0..<3) { block, append in
            try fixture.bytes(of: long)[block].withUnsafeBytes(append)
        }
        #expect(head.stored == 3)
        let rest = try kv.put(kv.chain(long), from: 3, Array(fixture.bytes(of: long).dropFirst(3)))
        #expect(rest.stored > 5 && rest.refused > 20 && rest.stored + rest.refused == 47)
        #expect(try kv.longestPrefix(of: long).blocks == 3 + rest.stored)
        #expect(try fixture.store.kvGauge().bytes <= 2000)
        #expect(try fixture.differences() == [])
    }

    @Test("blocks of a superseded revision are evicted first, unless it has a ref or a pin, or is in use")
    func superseded() throws {
        let store = fixture.store
        let tokens = fixture.tokens(20, seed: 1)
        try put(tokens, of: fixture.blocks())
        try fixture.addVersion()
        try put(tokens, of: fixture.blocks(of: "org/model@~2"))
        // The old ones were used a moment ago, the new ones never.
        try store.catalog.write { db in
            try db.execute(
                sql: """
                    UPDATE shard SET last_access = last_access - 1000
                    WHERE id IN (SELECT shard_id FROM kv_block JOIN kv_space ON kv_space.id = space_id
                                 JOIN revision ON revision.id = revision_id WHERE version = 2)
                    """)
        }
        func first() throws -> [String] {
            var request = EvictionRequest(.free(1), of: .kv)
            request.dryRun = true
            return try store.kvSpaces().filter(\.superseded).map(\.revision)
        }
        #expect(try first() == ["org/model@~1"])
        let user = try store.revision("org/model@~1")
        #expect(try first() == [])
        withExtendedLifetime(user) {}
    }

    @Test("blocks that two models share are superseded only if both revisions are")
    func supersededInBoth() throws {
        let store = fixture.store
        try fixture.add(seed: 1, name: "org/copy")
        try put(fixture.tokens(20, seed: 1), of: fixture.blocks())
        try fixture.addVersion()
        #expect(try store.kvSpaces().allSatisfy { !$0.superseded })
        #expect(try store.kvGauge().superseded == 0)
        try fixture.add(seed: 3, name: "org/copy")
        #expect(try store.kvSpaces().map(\.superseded) == [true, true])
        #expect(try store.kvGauge().superseded == store.kvGauge().bytes)
    }

    @Test("eviction removes superseded revisions' blocks first, under any policy, and a dry run reports the same")
    func supersededFirst() throws {
        let store = fixture.store
        let tokens = fixture.tokens(20, seed: 1)
        try put(tokens, of: fixture.blocks())
        try fixture.addVersion()
        try put(tokens, of: fixture.blocks(of: "org/model@~2"))
        try store.catalog.write { db in
            try db.execute(
                sql: "UPDATE shard SET last_access = 10 WHERE id IN (SELECT shard_id FROM kv_block WHERE space_id = 2)")
        }
        let sizes = try store.kvSpaces().map(\.bytes)
        let dry = try evict(sizes[0] + 1, "lru", dryRun: true)
        let real = try evict(sizes[0] + 1, "lru")
        #expect(dry.shards == 6 && real.shards == 6 && dry.bytes == real.bytes && dry.stored == real.stored)
        #expect(try store.kvSpaces().map(\.revision) == ["org/model@~2"])
        #expect(try fixture.blocks(of: "org/model@~2").longestPrefix(of: tokens).blocks == 4)
        // A ref holds the other one.
        try store.setRef("prod", to: "org/model@~1")
        try put(tokens, of: fixture.blocks())
        #expect(try store.kvSpaces().allSatisfy { !$0.superseded })
    }

    @Test("tail, lru and lfu are read from an index")
    func plans() throws {
        let kv = try fixture.blocks()
        try put(fixture.tokens(40, seed: 1), of: kv)
        for (policy, index) in [("tail", "kv_by_tail"), ("lru", "kv_by_last_access"), ("lfu", "kv_by_access_count")] {
            let plan = try fixture.store.plan(of: fixture.store.policy(policy), for: .kv).joined(separator: "\n")
            #expect(plan.contains(index) && !plan.contains("TEMP B-TREE"), "\(policy): \(plan)")
        }
    }

    @Test("a refused policy is replaced by the default")
    func refused() throws {
        let kv = try fixture.blocks()
        try put(fixture.tokens(20, seed: 1), of: kv)
        var request = EvictionRequest(.free(1), of: .kv)
        request.policy = Policy(name: "bad", sql: "SELECT shard_id FROM shard")
        let summary = try fixture.store.evictBlocking(request)
        #expect(summary.rejection != nil && summary.policy == "lru" && summary.shards == 1)
    }
}
