import Synchronization

/// A policy's order of the shards of a memory tier.
package final class PolicyOrder: Sendable {
    package let policy: Policy
    private let table: Mutex<ResidentTable>

    /// A policy that takes longer is done without: somebody waits for the room.
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
    ///   - facts: the shards that may go.
    ///   - now: seconds since 1970.
    ///   - bytes: how many are needed; fewer may come out if the policy leaves shards out.
    /// - Returns: places in `facts`, with priorities, the first to go first.
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
