import Dispatch
import Policies
import Storage

/// A shard to evict from a memory tier.
package struct Victim {
    package let shard: ResidentShard
    /// The priority; nil if the policy returns none.
    package let priority: Double?
}

extension MemoryTier.State {
    /// The shards that may be evicted: ready, and without a lease.
    package var evictable: [ResidentShard] { table.values.filter { $0.phase == .ready && $0.leases == 0 } }

    /// Ranks shards for eviction: first those that the policy returns, in its order, then the others, the least
    /// recently used first. KV blocks follow their descendants. If the policy fails, `lru` replaces it from then on, so
    /// that the load can continue.
    ///
    /// - Parameter bytes: the bytes to free.
    package mutating func rank(_ shards: [ResidentShard], bytes: Int) -> [Victim] {
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

    /// Evicts a shard, unless it is leased. The returned value owns the bytes.
    package mutating func evict(_ victim: Victim) -> Payload? {
        guard let payload = victim.shard.evict() else { return nil }
        resident -= victim.shard.bytes
        evictions += 1
        activity.addEviction(by: order.name, bytes: victim.shard.bytes)
        if let priority = victim.priority { clock.advance(to: priority, at: StoreClock.coarse) }
        removeIfUnused(victim.shard)
        return payload
    }

    /// Removes a KV block from the table if it has no references and no bytes here.
    mutating func removeIfUnused(_ shard: ResidentShard) {
        guard shard.account.references == 0, shard.phase == .absent, table[shard.key] === shard else { return }
        table[shard.key] = nil
        let count = shard.drainUses()
        if count == 0 { return }
        add(count, usesOf: shard)
        forgottenUses.append((shard.digest, count, shard.lastUse))
    }
}

/// A snapshot of the evictable shards.
private struct Ranking {
    /// The least recently used first; KV blocks that were used together in reverse order.
    let shards: [(shard: ResidentShard, lastUse: Int64)]
    let tree: BlockTree
    private let facts: [EvictionFacts]
    private let now: Double

    var leastRecentlyUsed: [Victim] { shards.map { Victim(shard: $0.shard, priority: nil) } }

    /// Must be called under the tier's lock; the value may be used without it.
    init(_ evictable: [ResidentShard], for order: EvictionOrder, _ clock: TierClock) {
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
            facts.heat = account.decayed(to: last) + Double(uses)
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

    /// The victims in the policy's order. If there are KV blocks with parents, all of its result, because the policy
    /// may rank a child after its parent.
    func victims(_ order: EvictionOrder, bytes: Int) throws -> [Victim] {
        guard case .policy(let policy) = order else { return leastRecentlyUsed }
        return try policy.rank(facts, now: now, bytes: tree.isEmpty ? bytes : .max).map {
            Victim(shard: shards[$0.index].shard, priority: $0.priority)
        }
    }
}

extension MemoryTier {
    /// The shortest time between two evictions in the background, in nanoseconds.
    private static let trimInterval: Int64 = 100_000_000
    private static let background = DispatchQueue(label: "weightstore.trim", attributes: .concurrent)

    /// If the tier is above the high watermark, evicts down to the low one on another thread. The policy runs outside
    /// the lock, so no load waits for it.
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
                // A shard that was used since the ranking has another rank now.
                guard victim.shard.lastUse == lastUses[ObjectIdentifier(victim.shard)] else { continue }
                if let payload = state.evict(victim) { garbage.append(payload) }
            }
            state.isTrimming = false
            // The remaining shards are leased, and may be released soon.
            nextTrim.store(StoreClock.coarse + Self.trimInterval, ordering: .relaxed)
        }
        garbage = []
        retryWaitingRequests()
    }
}
