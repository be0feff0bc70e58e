import GRDB

/// The tables `shard_totals` and `kv_totals`: triggers add up the shards that are present.
package enum Totals {
    /// Bytes of the shards that are present.
    package static func bytes(_ kind: QuotaKind, _ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT bytes FROM \(kind.totals) WHERE id = 1") ?? 0
    }

    /// How many shards are present.
    package static func shards(_ kind: QuotaKind, _ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT shards FROM \(kind.totals) WHERE id = 1") ?? 0
    }
}
