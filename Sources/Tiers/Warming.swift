import Storage

/// How a request is treated that only warms: it is no use of its shards, counted nowhere, and takes the place of
/// nothing but what it is told to.
package struct Warming: Sendable {
    /// Whether a shard may go for it. Asked under the tier's lock.
    let mayEvict: @Sendable (Residency) -> Bool

    package init(mayEvict: @escaping @Sendable (Residency) -> Bool) { self.mayEvict = mayEvict }
}

extension MemoryTier {
    /// A shard in the tier, as a plan of what to warm sees it.
    package struct Occupant: Sendable {
        package let digest: ContentDigest
        package let bytes: Int
        package let isLeased: Bool
        /// Uses in this process, fading.
        package let heat: Double
    }

    /// What takes room in the tier: the shards that are there, and the sizes of those under way.
    package var occupancy: (shards: [Occupant], underWay: [ContentDigest: Int]) {
        let now = StoreClock.coarse
        return state.withLock { state in
            let ready = state.table.values.filter { $0.phase == .ready }
            return (
                ready.map {
                    Occupant(digest: $0.digest, bytes: $0.bytes, isLeased: $0.leases > 0, heat: $0.heat(at: now))
                }, state.flights.mapValues(\.shard.bytes)
            )
        }
    }

    /// Lets the tier's policy see shards that come in as hot as the catalog knows them.
    package func remember(_ heats: some Sequence<(shard: Residency, heat: Double)>) {
        let now = StoreClock.coarse
        state.withLock { _ in
            for (shard, heat) in heats { shard.account.remember(heat, at: now) }
        }
    }
}

extension Residency {
    /// Uses in this process, fading. Under the tier's lock.
    package func heat(at now: Int64) -> Double { account.faded(to: now) + Double(uses) }
}
