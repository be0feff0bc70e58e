import GRDB

/// The tables `shard_totals` and `kv_totals`: the totals of the present shards, maintained by triggers.
package enum Totals {
    /// The total size of the present shards, in bytes.
    package static func bytes(_ kind: QuotaKind, _ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT bytes FROM \(kind.totals) WHERE id = 1") ?? 0
    }

    /// The number of present shards.
    package static func shards(_ kind: QuotaKind, _ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT shards FROM \(kind.totals) WHERE id = 1") ?? 0
    }
}
