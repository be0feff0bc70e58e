import Dispatch

/// A shard that may go from a memory tier, in its place in the policy's order.
struct Victim {
    let shard: Residency
    /// nil if the policy has none.
    let priority: Double?
}

extension MemoryTier.State {
    /// The shards that may go.
    var evictable: [Residency] { table.values.filter { $0.phase == .ready && $0.leases == 0 } }

    /// Ranks shards by the policy, the first to go first; what it leaves out follows, the least recently used first, of
    /// KV blocks that were used together the last one. A policy that fails is done without from then on: the load that
    /// needs the room goes on.
    ///
    /// - Parameter bytes: how many are needed.
    mutating func rank(_ shards: [Residency], bytes: Int) -> [Victim] {
        let old = shards.sorted { ($0.lastUse, $1.account.depth ?? 0) < ($1.lastUse, $0.account.depth ?? 0) }
        guard case .policy(let order) = order else { return old.map { Victim(shard: $0, priority: nil) } }
        let (facts, now) = old.facts(clock)
        do {
            let first = try order.rank(facts, now: now, bytes: bytes)
            let chosen = Set(first.map(\.index))
            return first.map { Victim(shard: old[$0.index], priority: $0.priority) }
                + old.indices.filter { !chosen.contains($0) }.map { Victim(shard: old[$0], priority: nil) }
        } catch {
            self.order = .leastRecentlyUsed
            return old.map { Victim(shard: $0, priority: nil) }
        }
    }

    /// Takes a shard's bytes away, unless a lease holds them.
    mutating func evict(_ victim: Victim) -> Payload? {
        guard let payload = victim.shard.evict() else { return nil }
        resident -= victim.shard.bytes
        evictions += 1
        if let priority = victim.priority { clock.advance(to: priority, at: Clock.coarse) }
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

extension [Residency] {
    /// What a policy sees of them. Under the tier's lock.
    fileprivate func facts(_ clock: TierClock) -> (facts: [EvictionFacts], now: Double) {
        let coarse = Clock.coarse
        let now = Double(Clock.nanoseconds) / 1e9
        func moment(_ reading: Int64) -> Double { now - Double(coarse - reading) / 1e9 }
        return (map { shard in
            let last = shard.lastUse
            let uses = shard.uses
            let account = shard.account
            return EvictionFacts(
                bytes: shard.bytes, lastAccess: moment(last), accessCount: account.counted + uses,
                heat: account.faded(to: last) + Double(uses), clock: clock.value(at: last),
                insertedAt: moment(account.insertedAt), fetchSeconds: account.fetchSeconds, layer: account.layer,
                kind: account.kind(bytes: shard.bytes).rawValue, modelCount: account.models.count,
                depth: account.depth ?? 0)
        }, now)
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
            guard state.resident > watermarks.high, !state.isTrimming, nextTrim.load(ordering: .relaxed) <= Clock.coarse
            else { return false }
            state.isTrimming = true
            return true
        }
        if starts { Self.background.async { [weak self] in self?.trim(to: watermarks.low) } }
    }

    private func trim(to low: Int) {
        var (ranking, excess, order) = state.withLock { state in
            (
                state.evictable.map { (shard: $0, lastUse: $0.lastUse, depth: $0.account.depth ?? 0) },
                state.resident - low, state.order
            )
        }
        ranking.sort { ($0.lastUse, $1.depth) < ($1.lastUse, $0.depth) }
        var victims = ranking.map { Victim(shard: $0.shard, priority: nil) }
        if case .policy(let policy) = order {
            let (facts, now) = state.withLock { state in ranking.map(\.shard).facts(state.clock) }
            do {
                victims = try policy.rank(facts, now: now, bytes: excess).map {
                    Victim(shard: ranking[$0.index].shard, priority: $0.priority)
                }
            } catch {
                order = .leastRecentlyUsed
            }
        }
        let lastUses = Dictionary(uniqueKeysWithValues: ranking.map { (ObjectIdentifier($0.shard), $0.lastUse) })
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
            nextTrim.store(Clock.coarse + Self.trimInterval, ordering: .relaxed)
        }
        garbage = []
        roomMayBe()
    }
}
