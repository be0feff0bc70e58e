import Storage

/// The rules of a warm-up request: it does not count as an access, and evicts only shards that `mayEvict` allows.
package struct WarmUpRules: Sendable {
    /// Whether a shard may be evicted for the request. Called under the tier's lock.
    let mayEvict: @Sendable (ResidentShard) -> Bool

    package init(mayEvict: @escaping @Sendable (ResidentShard) -> Bool) { self.mayEvict = mayEvict }
}

extension MemoryTier {
    /// A resident shard, for the plan of a warm-up.
    package struct ResidentSnapshot: Sendable {
        package let digest: ContentDigest
        package let bytes: Int
        package let isLeased: Bool
        /// The heat of its uses in this process.
        package let heat: Double
    }

    /// The resident shards, the sizes of the loading ones, and the size of all resident or loading ranges: a warm-up
    /// loads whole shards, and a range does not make one present.
    package var occupancy: (shards: [ResidentSnapshot], underWay: [ContentDigest: Int], rangeBytes: Int) {
        let now = StoreClock.coarse
        return state.withLock { state in
            let ready = state.table.values.filter { $0.isWhole && $0.phase == .ready }
            var underWay: [ContentDigest: Int] = [:]
            for flight in state.inFlight.values where flight.shard.isWhole {
                underWay[flight.shard.digest] = flight.shard.bytes
            }
            return (
                ready.map {
                    ResidentSnapshot(
                        digest: $0.digest, bytes: $0.bytes, isLeased: $0.leases > 0, heat: $0.heat(at: now))
                }, underWay,
                state.table.values.saturatingSum { $0.isWhole || $0.phase == .absent ? 0 : $0.bytes }
            )
        }
    }

    /// Raises the heat of shards to their values in the catalog, for the tier's policy.
    package func remember(_ heats: some Sequence<(shard: ResidentShard, heat: Double)>) {
        let now = StoreClock.coarse
        state.withLock { _ in
            for (shard, heat) in heats { shard.account.remember(heat, at: now) }
        }
    }
}

extension ResidentShard {
    /// The heat of its uses in this process. Call it under the tier's lock.
    package func heat(at now: Int64) -> Double { account.decayed(to: now) + Double(uses) }
}
