import Synchronization

/// Ranks the shards of a memory tier by a policy in SQL.
package final class PolicyOrder: Sendable {
    package let policy: Policy
    private let table: Mutex<ResidentTable>

    /// The time limit of a policy, in seconds. It is short because a load waits for the eviction; the tier replaces a
    /// slower policy by `lru`.
    package static let seconds = 1.0

    /// - Throws: ``PolicyError/refused(policy:line:message:)``.
    init(_ policy: Policy) throws {
        self.policy = policy
        let table = try ResidentTable()
        try table.database.check(policy)
        self.table = Mutex(table)
    }

    /// Ranks shards.
    ///
    /// - Parameters:
    ///   - facts: the shards that may be evicted.
    ///   - now: seconds since 1970.
    ///   - bytes: the bytes to free; the result frees less if the policy omits shards.
    /// - Returns: indexes of `facts`, with priorities, in the order of eviction.
    package func rank(_ facts: [EvictionFacts], now: Double, bytes: Int) throws -> [(index: Int, priority: Double?)] {
        try table.withLock { table in
            try table.deleteEverything()
            try table.setNow(now)
            for (index, shard) in facts.enumerated() { try table.insert(index, shard) }
            let victims = try table.database.victims(
                policy, now: now, bytes: bytes, expected: max(facts.count, 1), seconds: Self.seconds
            ) { facts.indices.contains(Int($0)) ? facts[Int($0)].bytes : nil }
            return victims.filter { facts.indices.contains(Int($0.shard)) }.map { (Int($0.shard), $0.priority) }
        }
    }
}
