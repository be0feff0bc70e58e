import Dispatch
import Policies
import Storage

/// A shard that may go from a memory tier, in its place in the policy's order.
package struct Victim {
    package let shard: Residency
    /// nil if the policy has none.
    package let priority: Double?
}

extension MemoryTier.State {
    /// The shards that may go.
    package var evictable: [Residency] { table.values.filter { $0.phase == .ready && $0.leases == 0 } }

    /// Ranks shards by the policy, the first to go first; what it leaves out follows, the least recently used first. KV
    /// blocks go after all that build on them. A policy that fails is done without from then on: the load that needs the
    /// room goes on.
    ///
    /// - Parameter bytes: how many are needed.
    package mutating func rank(_ shards: [Residency], bytes: Int) -> [Victim] {
        let ranking = Ranking(shards, for: order, clock)
        do {
            let first = try ranking.victims(order, bytes: bytes)
            let chosen = Set(first.map { ObjectIdentifier($0.shard) })
            return ranking.tree.leavesFirst(
                first + ranking.leastRecentlyUsed.filter { !chosen.contains(ObjectIdentifier($0.shard)) }
            ) { $0.shard.digest }
        } catch {
            order = .leastRecentlyUsed
            return ranking.tree.leavesFirst(ranking.leastRecentlyUsed) { $0.shard.digest }
        }
    }

    /// Takes a shard's bytes away, unless a lease holds them.
    package mutating func evict(_ victim: Victim) -> Payload? {
        guard let payload = victim.shard.evict() else { return nil }
        resident -= victim.shard.bytes
        evictions += 1
        if let priority = victim.priority { clock.advance(to: priority, at: StoreClock.coarse) }
        forgetIfGone(victim.shard)
        return payload
    }

    /// Forgets a KV block that nobody looks at and whose bytes are not here.
    mutating func forgetIfGone(_ shard: Residency) {
        guard shard.account.visitors == 0, shard.phase == .absent, table[shard.digest] === shard else { return }
        table[shard.digest] = nil
        let count = shard.takeUses()
        if count == 0 { return }
        uses += count
        forgottenUses.append((shard.digest, count, shard.lastUse))
    }
}

/// The shards that may go, as they were at one moment.
private struct Ranking {
    /// The least recently used first; of KV blocks that were used together, the last one.
    let shards: [(shard: Residency, lastUse: Int64)]
    let tree: BlockTree
    private let facts: [EvictionFacts]
    private let now: Double

    var leastRecentlyUsed: [Victim] { shards.map { Victim(shard: $0.shard, priority: nil) } }

    /// Under the tier's lock; what is done with it may be done outside.
    init(_ evictable: [Residency], for order: EvictionOrder, _ clock: TierClock) {
        let shards = evictable.map { (shard: $0, lastUse: $0.lastUse) }.sorted {
            ($0.lastUse, $1.shard.account.depth ?? 0) < ($1.lastUse, $0.shard.account.depth ?? 0)
        }
        let tree = BlockTree(shards.map { (digest: $0.shard.digest, parent: $0.shard.account.parent) })
        (self.shards, self.tree) = (shards, tree)
        let coarse = StoreClock.coarse
        let now = Double(StoreClock.nanoseconds) / 1e9
        self.now = now
        func moment(_ reading: Int64) -> Double { now - Double(coarse - reading) / 1e9 }
        guard case .policy = order else {
            facts = []
            return
        }
        facts = shards.map { shard, last in
            let uses = shard.uses
            let account = shard.account
            var facts = EvictionFacts(bytes: shard.bytes, kind: account.kind(bytes: shard.bytes).rawValue)
            facts.lastAccess = moment(last)
            facts.accessCount = account.counted + uses
            facts.heat = account.faded(to: last) + Double(uses)
            facts.clock = clock.value(at: last)
            facts.insertedAt = moment(account.insertedAt)
            facts.fetchSeconds = account.fetchSeconds
            facts.layer = account.layer
            facts.modelCount = account.models.count
            facts.depth = account.depth ?? 0
            facts.children = tree.children(of: shard.digest)
            return facts
        }
    }

    /// In the policy's order. Where blocks build on each other, all that it names: what must go first may be named late.
    func victims(_ order: EvictionOrder, bytes: Int) throws -> [Victim] {
        guard case .policy(let policy) = order else { return leastRecentlyUsed }
        return try policy.rank(facts, now: now, bytes: tree.isEmpty ? bytes : .max).map {
            Victim(shard: shards[$0.index].shard, priority: $0.priority)
        }
    }
}

extension MemoryTier {
    /// Nanoseconds from one eviction in the background to the next.
    private static let trimInterval: Int64 = 100_000_000
    private static let background = DispatchQueue(label: "weightstore.trim", attributes: .concurrent)

    /// Above the high watermark, evicts down to the low one, on another thread. The policy is asked outside the lock: no
    /// load waits for it.
    func trimIfAboveWatermark() {
        guard let watermarks else { return }
        let starts = state.withLock { state in
            isAboveWatermark.store(state.resident > watermarks.high, ordering: .relaxed)
            guard state.resident > watermarks.high, !state.isTrimming,
                nextTrim.load(ordering: .relaxed) <= StoreClock.coarse
            else { return false }
            state.isTrimming = true
            return true
        }
        if starts { Self.background.async { [weak self] in self?.trim(to: watermarks.low) } }
    }

    private func trim(to low: Int) {
        var (ranking, excess, order) = state.withLock { state in
            (Ranking(state.evictable, for: state.order, state.clock), state.resident - low, state.order)
        }
        var victims: [Victim]
        do {
            victims = try ranking.victims(order, bytes: excess)
        } catch {
            order = .leastRecentlyUsed
            victims = ranking.leastRecentlyUsed
        }
        victims = ranking.tree.leavesFirst(victims) { $0.shard.digest }
        let lastUses = Dictionary(uniqueKeysWithValues: ranking.shards.map { (ObjectIdentifier($0.shard), $0.lastUse) })
        var garbage: [Payload] = []
        state.withLock { state in
            state.order = order
            for victim in victims where state.resident > low {
                // Used since it was ranked: it has another place now.
                guard victim.shard.lastUse == lastUses[ObjectIdentifier(victim.shard)] else { continue }
                if let payload = state.evict(victim) { garbage.append(payload) }
            }
            state.isTrimming = false
            // What is left is in use, and may be given back in a moment.
            nextTrim.store(StoreClock.coarse + Self.trimInterval, ordering: .relaxed)
        }
        garbage = []
        roomMayBe()
    }
}
