import GRDB

/// The eviction clock of the disk: the highest priority that was evicted. Each use sets a shard's `clock` to it, so
/// that policies of the GreedyDual family age unused shards without updating them (Young, On-line caching as cache size
/// varies, SODA 1991). Weights and KV blocks have separate clocks.
package struct EvictionClock {
    private let kind: QuotaKind
    private var reading: String { kind.setting("eviction", "clock") }
    private var name: String { kind.setting("eviction", "policy") }

    package init(_ kind: QuotaKind) { self.kind = kind }

    /// The current value.
    package func now(_ db: Database) throws -> Double { try SettingTable.get(reading, db) ?? 0 }

    /// The policy whose priorities the clock uses.
    package func policy(_ db: Database) throws -> String? { try SettingTable.get(name, db) }

    /// Advances the clock to the priority of an evicted shard; a lower priority has no effect.
    package func advance(to priority: Double, _ db: Database) throws {
        try SettingTable.set(reading, max(try now(db), priority), db)
    }

    /// Resets the clock for another policy.
    package func start(_ policy: String, _ db: Database) throws {
        try SettingTable.set(name, policy, db)
        guard try now(db) != 0 else { return }
        try SettingTable.set(reading, 0.0, db)
        try ShardTable.resetClocks(kind, db)
    }
}
