import GRDB

/// The tables `tally` and `kv_tally`: what is present, counted along by triggers.
package enum Totals {
    /// Bytes of the shards that are present.
    package static func bytes(_ kind: QuotaKind, _ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT bytes FROM \(kind.tally) WHERE id = 1") ?? 0
    }

    /// How many shards are present.
    package static func shards(_ kind: QuotaKind, _ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT shards FROM \(kind.tally) WHERE id = 1") ?? 0
    }
}
