import TestSupport
import Testing
@testable import Policies
@testable import Tiers
@testable import WeightStore

/// The order of each built-in policy, on examples that are small enough to be ranked by hand.
@Suite(.blocking) struct PolicyOrderTests {
    private static let now = 1_000_000.0

    private func facts(
        bytes: Int = 100, last: Double = 0, uses: Int = 1, heat: Double = 1, clock: Double = 0, inserted: Double = 0,
        fetch: Double = 1
    ) -> EvictionFacts {
        var facts = EvictionFacts(bytes: bytes, kind: "tensor")
        facts.lastAccess = last
        facts.accessCount = uses
        facts.heat = heat
        facts.clock = clock
        facts.insertedAt = inserted
        facts.fetchSeconds = fetch
        return facts
    }

    private func order(_ name: String, _ shards: EvictionFacts...) throws -> [Int] {
        let policy = try #require(Policy.builtIn.first { $0.name == name })
        return try PolicyOrder(policy).rank(shards, now: Self.now, bytes: .max).map(\.index)
    }

    @Test("lru: the least recently used first")
    func lru() throws {
        #expect(try order("lru", facts(last: 3), facts(last: 1), facts(last: 2)) == [1, 2, 0])
    }

    @Test("lfu: the least frequently used first, then the least recently used")
    func lfu() throws {
        #expect(
            try order("lfu", facts(last: 1, uses: 9), facts(last: 5, uses: 2), facts(last: 4, uses: 2)) == [2, 1, 0])
    }

    @Test("size: the largest first")
    func size() throws {
        #expect(try order("size", facts(bytes: 5), facts(bytes: 9), facts(bytes: 7)) == [1, 2, 0])
    }

    @Test("lfuda: uses count from the clock at the last use, so old popularity fades")
    func lfuda() throws {
        #expect(try order("lfuda", facts(uses: 10), facts(uses: 3, clock: 8), facts(uses: 1, clock: 8)) == [2, 0, 1])
    }

    @Test("gdsf: shards with few uses, a cheap fetch and a large size first")
    func gdsf() throws {
        let order = try order(
            "gdsf", facts(bytes: 100, uses: 2), facts(bytes: 100, uses: 1), facts(bytes: 400, uses: 2),
            facts(bytes: 400, uses: 2, fetch: 10), facts(bytes: 400, uses: 1, clock: 1))
        #expect(order == [2, 1, 0, 3, 4])
    }

    @Test("ttl: shards stored more than a week ago first, the oldest at the head; then by last use")
    func ttl() throws {
        let week = 604_800.0
        let order = try order(
            "ttl", facts(last: 900_000, inserted: Self.now - 10), facts(last: 999_999, inserted: Self.now - week - 5),
            facts(last: 800_000, inserted: Self.now - 20), facts(last: 5, inserted: Self.now - week - 9))
        #expect(order == [3, 1, 2, 0])
    }

    @Test("slru: shards used once before shards used again, as long as the latter fit their segment")
    func slru() throws {
        #expect(
            try order("slru", facts(last: 1, uses: 5), facts(last: 9, uses: 1), facts(last: 2, uses: 2)) == [1, 0, 2])
        // The segment of the reused has four fifths of the bytes: its least recently used one falls out.
        #expect(
            try order("slru", facts(bytes: 10, last: 8), facts(last: 1, uses: 5), facts(last: 9, uses: 5)) == [1, 0, 2])
    }

    @Test("hyperbolic: the fewest uses per second of residence first")
    func hyperbolic() throws {
        let order = try order(
            "hyperbolic", facts(uses: 10, inserted: Self.now - 100_000), facts(uses: 2, inserted: Self.now - 10),
            facts(uses: 1, inserted: Self.now - 100_000))
        #expect(order == [2, 0, 1])
    }

    @Test("heat: uses of long ago count little")
    func heat() throws {
        let day = Heat.halfLife
        #expect(
            try order(
                "heat", facts(last: Self.now - 5 * day, heat: 20), facts(last: Self.now, heat: 2),
                facts(last: Self.now - day, heat: 8))
                == [0, 1, 2])
    }

    @Test("a memory tier's own sorting for lru gives the order of lru.sql")
    func tierSort() throws {
        var state = MemoryTier.State(order: .leastRecentlyUsed)
        var random = SystemRandomNumberGenerator()
        let shards = (0..<200).map { number -> ResidentShard in
            let bytes = withUnsafeBytes(of: number) { ContentDigest(of: $0) }
            let shard = ResidentShard(digest: bytes, bytes: Int.random(in: 1...1000, using: &random))
            shard.beginLoading()
            shard.finishLoading(.mapped(.empty), leases: 0, uses: 0, at: Int64(number) * 10_000_000)
            return shard
        }.shuffled()
        let sorted = state.rank(shards, bytes: .max).map(\.shard.lastUse)
        state.order = .policy(try PolicyOrder(.lru))
        #expect(state.rank(shards, bytes: .max).map(\.shard.lastUse) == sorted)
        #expect(sorted == sorted.sorted())
    }

    @Test("the clock of a tier returns its value at any past moment")
    func clock() {
        var clock = TierClock()
        clock.advance(to: 2, at: 100)
        clock.advance(to: 1, at: 150)
        clock.advance(to: 5, at: 200)
        #expect([50, 100, 199, 200, 300].map { clock.value(at: $0) } == [0, 2, 2, 5, 5])
        for step in 0..<10_000 { clock.advance(to: Double(10 + step), at: Int64(1000 + step)) }
        #expect(clock.value == 10_009)
        #expect(clock.value(at: 10_500) == 9510)
        #expect(clock.value(at: 0) > 5)
    }
}
