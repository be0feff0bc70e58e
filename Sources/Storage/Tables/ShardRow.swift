import GRDB

/// Whether a shard's bytes can be had.
public enum ShardState: String, Sendable, Codable {
    case present
    /// Its file went because an origin has it: the next use fetches it.
    case evicted
    /// Its bytes were found changed, and were set aside.
    case quarantined
    /// Its file is gone.
    case missing
}

/// The SQL of one shard's row.
package struct ShardRow {
    package var id: Int64
    package var state: ShardState
    package var kind: ShardKind

    package static func find(_ digest: ContentDigest, _ db: Database) throws -> ShardRow? {
        let statement = try db.cachedStatement(sql: "SELECT id, state, kind FROM shard WHERE digest = ?")
        return try Row.fetchOne(statement, arguments: [digest]).map { row in
            ShardRow(id: row[0], state: ShardState(rawValue: row[1])!, kind: ShardKind(rawValue: row[2])!)
        }
    }

    /// Makes the row of a shard that was just written, as an orphan; or heals the row that lost its bytes.
    /// Of an evicted shard `heat` alone goes on; its uses are counted anew.
    package static func save(_ facts: ShardFacts, _ db: Database) throws -> Int64 {
        let now = StoreClock.now
        return try Int64.fetchOne(
            try db.cachedStatement(sql: """
                INSERT INTO shard
                  (digest, bytes, kind, layer, head, last_access, inserted_at, verified_at, orphaned_at, clock)
                VALUES
                  (?, ?, ?, ?, ?, ?, ?, ?, ?, coalesce((SELECT value FROM setting WHERE name = 'eviction.clock'), 0))
                ON CONFLICT (digest) DO UPDATE
                SET state = 'present', verified_at = excluded.verified_at, inserted_at = excluded.inserted_at,
                    access_count = 0, clock = excluded.clock
                RETURNING id
                """),
            arguments: [
                facts.digest, facts.bytes, facts.kind.rawValue, facts.layer, facts.head, now, now, now, now,
            ])!
    }

    package static func setState(_ state: ShardState, of digest: ContentDigest, _ db: Database) throws {
        try db.cachedStatement(sql: "UPDATE shard SET state = ? WHERE digest = ?")
            .execute(arguments: [state.rawValue, digest])
    }
}
