import Storage
import Support

extension MemoryTier {
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
