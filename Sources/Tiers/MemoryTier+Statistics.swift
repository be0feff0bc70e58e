import Storage
import Support

extension MemoryTier {
    /// Differs whenever other shards are ready: a load adds to `loaded`, and an eviction without a load in between only
    /// subtracts from `resident`.
    package struct Contents: Equatable, Sendable {
        /// The bytes loaded since the tier was opened.
        package let loaded: Int
        /// The bytes of the ready shards.
        package let resident: Int

        fileprivate init(_ state: borrowing State) {
            loaded = state.loaded
            resident = state.resident
        }
    }

    /// Identifies what is resident now.
    package var contents: Contents { state.withLock { Contents($0) } }

    /// The shards of weights that are ready as a whole, also those that their holders map themselves.
    ///
    /// - Parameter known: the result is nil if the contents are still these.
    package func readyShards(unless known: Contents?) -> (contents: Contents, digests: Set<ContentDigest>)? {
        let found = state.withLock { state -> (Contents, [ContentDigest])? in
            let contents = Contents(state)
            if contents == known { return nil }
            let ready = state.table.values.lazy.filter {
                $0.phase == .ready && $0.key.range == nil && $0.account.depth == nil
            }
            return (contents, ready.map(\.digest))
        }
        // The set is made without the lock.
        return found.map { ($0, Set($1)) }
    }

    /// The tier as the statistics of the process show it, and the leased bytes of each model.
    package var statistics: (tier: ProcessStatistics.Tier, leased: [String: Int]) {
        var statistics = ProcessStatistics.Tier(name: tier.description, budget: budget)
        var leased: [String: Int] = [:]
        state.withLock { state in
            var uses = state.uses
            for shard in state.table.values {
                uses += shard.uses
                guard shard.phase == .ready else { continue }
                statistics.shards += 1
                guard shard.leases > 0 else { continue }
                statistics.leased += shard.bytes
                for model in shard.account.models { leased[model, default: 0] += shard.bytes }
            }
            statistics.bytes = state.resident
            statistics.loading = state.loading
            statistics.evictable = max(state.resident - statistics.leased, 0)
            statistics.hits = uses - state.misses
            statistics.misses = state.misses
            statistics.loaded = state.loaded
            statistics.evictions = state.evictions
            statistics.failures = state.failures
            statistics.policy = state.order.name
        }
        return (statistics, leased)
    }
}
