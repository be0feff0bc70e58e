import GRDB

/// The tables `shard_totals` and `kv_totals`: the totals of the present shards, maintained by triggers.
package enum Totals {
    /// The total size of the present shards, in bytes.
    package static func bytes(_ kind: QuotaKind, _ db: Database) throws -> Int {
        try total("bytes", kind, db)
    }

    /// The number of present shards.
    package static func shards(_ kind: QuotaKind, _ db: Database) throws -> Int {
        try total("shards", kind, db)
    }

    private static func total(_ column: String, _ kind: QuotaKind, _ db: Database) throws -> Int {
        let total = try Int.fetchValue(
            db.cachedStatement(sql: "SELECT \(column) FROM \(kind.totals) WHERE id = 1"))
        guard total >= 0 else { throw DatabaseError.damaged("unexpected value in \(kind.totals): \(total)") }
        return total
    }
}
