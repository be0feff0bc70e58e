import GRDB

/// The disk's clock: the highest priority that was evicted. A shard that is used gets its reading, so that the GreedyDual
/// family ages what is not used any more without touching it (Young, On-line caching as cache size varies, SODA 1991).
/// Weights have one, and KV blocks have one.
package struct EvictionClock {
    private let kind: QuotaKind
    private var reading: String { kind.setting("eviction", "clock") }
    private var name: String { kind.setting("eviction", "policy") }

    package init(_ kind: QuotaKind) { self.kind = kind }

    package func now(_ db: Database) throws -> Double { try SettingTable.get(reading, db) ?? 0 }

    /// The policy whose priorities it counts in.
    package func policy(_ db: Database) throws -> String? { try SettingTable.get(name, db) }

    package func advance(to priority: Double, _ db: Database) throws {
        try SettingTable.set(reading, max(try now(db), priority), db)
    }

    /// Starts it anew, for another policy.
    package func start(_ policy: String, _ db: Database) throws {
        try SettingTable.set(name, policy, db)
        guard try now(db) != 0 else { return }
        try SettingTable.set(reading, 0.0, db)
        try ShardTable.resetClocks(kind, db)
    }
}
