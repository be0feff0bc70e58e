import GRDB

/// The disk's clock: the highest priority that was evicted. A shard that is used gets its reading, so that the GreedyDual
/// family ages what is not used any more without touching it (Young, On-line caching as cache size varies, SODA 1991).
enum EvictionClock {
    static func now(_ db: Database) throws -> Double { try Settings.get("eviction.clock", db) ?? 0 }

    /// The policy whose priorities it counts in.
    static func policy(_ db: Database) throws -> String? { try Settings.get("eviction.policy", db) }

    static func advance(to priority: Double, _ db: Database) throws {
        try Settings.set("eviction.clock", max(try now(db), priority), db)
    }

    /// Starts it anew, for another policy.
    static func start(_ policy: String, _ db: Database) throws {
        try Settings.set("eviction.policy", policy, db)
        guard try now(db) != 0 else { return }
        try Settings.set("eviction.clock", 0.0, db)
        try db.execute(sql: "UPDATE shard SET clock = 0 WHERE clock <> 0")
    }
}
