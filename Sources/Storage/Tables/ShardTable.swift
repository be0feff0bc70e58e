import GRDB
import ModelFormats

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

/// The table `shard`: a row for each shard that the store holds, or could fetch. This type makes every change to it.
///
/// **A row and its blob.** A row that is `present` has a blob of the shard's size under its digest. So `markPresent`,
/// `markFetched` and `insertBlock` run in the transaction that installs the blob, and after `markEvicted`, `remove` and
/// `removeBlock` the blob is swept once the transaction is committed, never before. A row in another state has no blob;
/// its extents stay, and the bytes return by an import, or by a fetch if an origin has them.
///
/// **Orphans.** `orphaned_at` says since when nothing has referenced the shard. A shard of a file starts as an orphan
/// and is adopted by the transaction that makes its extents (`adopt`); a removal makes it one again (`markOrphaned`),
/// if a claim still keeps it. A KV block that has lost its row is an orphan from the year 1970, which no grace period
/// keeps.
///
/// **Uses** are counted in memory (`AccessLog`) and arrive in batches (`countUses`). `access_count` starts again with
/// each arrival of the bytes; `heat` outlives eviction.
///
/// **Kept by triggers**, never set here: `evictable`, from the view `shard_evictability`, and the tables `shard_totals`
/// and `kv_totals`.
package enum ShardTable {
    /// What a row says of the shard itself.
    package struct Entry: Sendable {
        package let id: Int64
        package let digest: ContentDigest
        package let bytes: Int
        package let kind: ShardKind
        package let state: ShardState

        fileprivate init(_ row: Row) throws {
            id = row["id"]
            digest = row["digest"]
            bytes = row["bytes"]
            kind = try row.word("kind")
            state = try row.word("state")
        }
    }

    /// How a use names its shard: memory tiers know digests alone.
    package enum Name: Sendable {
        case id(Int64)
        case digest(ContentDigest)
    }

    private static let entryColumns = "shard.id, shard.digest, shard.bytes, shard.kind, shard.state"

    // MARK: Looking up

    package static func find(_ digest: ContentDigest, _ db: Database) throws -> Entry? {
        try Row.fetchOne(
            db.cachedStatement(sql: "SELECT \(entryColumns) FROM shard WHERE digest = ?"), arguments: [digest]
        ).map(Entry.init)
    }

    package static func isPresent(_ digest: ContentDigest, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM shard WHERE digest = ? AND state = 'present')"),
            arguments: [digest])
    }

    /// Whether a shard of this size that begins alike is present: then the next one is probably the same.
    package static func hasPresent(bytes: Int, head: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(
                sql: """
                    SELECT EXISTS (SELECT 1 FROM shard WHERE bytes = ? AND head = ? AND state = 'present')
                    """),
            arguments: [bytes, head])
    }

    /// The present shards, those that were not verified for the longest time first.
    ///
    /// - Parameters:
    ///   - revision: only those that it holds.
    ///   - before: only those that were last verified before, in seconds since 1970.
    package static func present(of revision: Int64?, verifiedBefore before: Int?, _ db: Database) throws -> [Entry] {
        var sql = """
            SELECT \(entryColumns) FROM shard WHERE state = 'present' AND (:before IS NULL OR verified_at < :before)
            """
        var arguments: StatementArguments = ["before": before]
        if let revision {
            sql += """
                 AND id IN (
                  SELECT extent.shard_id
                  FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                  WHERE revision_file.revision_id = :revision)
                """
            arguments += ["revision": revision]
        }
        return try Row.fetchAll(db, sql: sql + " ORDER BY verified_at, id", arguments: arguments).map(Entry.init)
    }

    /// The shards that were found changed or without a file.
    package static func damaged(_ db: Database) throws -> [Entry] {
        try Row.fetchAll(db, sql: "SELECT \(entryColumns) FROM shard WHERE state IN ('quarantined', 'missing')")
            .map(Entry.init)
    }

    /// The shards that nothing has referenced since `moment`, in seconds since 1970, or before.
    package static func orphans(since moment: Int, _ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db, sql: "SELECT id FROM shard WHERE orphaned_at IS NOT NULL AND orphaned_at <= ?", arguments: [moment])
    }

    /// What KV blocks have left whose rows are gone.
    package static func orphanedBlocks(_ db: Database) throws -> [Int64] {
        try Int64.fetchAll(db.cachedStatement(sql: "SELECT id FROM shard WHERE orphaned_at = 0 AND kind = 'kv'"))
    }

    // MARK: Bytes that arrive and go

    /// Makes the row of a shard that was just written, as an orphan; or heals the row that lost its bytes.
    /// Of an evicted shard `heat` alone continues; its uses are counted anew.
    ///
    /// - Returns: the row's id.
    package static func markPresent(_ facts: ShardFacts, _ db: Database) throws -> Int64 {
        let now = StoreClock.now
        return try Int64.fetchValue(
            db.cachedStatement(
                sql: """
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
            ])
    }

    /// The bytes of a shard that has a row were fetched from an origin.
    ///
    /// - Parameter seconds: what the fetch took.
    package static func markFetched(_ digest: ContentDigest, seconds: Double, _ db: Database) throws {
        try db.execute(
            sql: """
                UPDATE shard
                SET state = 'present', inserted_at = :now, verified_at = :now, access_count = 0,
                    fetch_seconds = :seconds, clock = :clock
                WHERE digest = :digest
                """,
            arguments: [
                "now": StoreClock.now, "seconds": seconds, "clock": try EvictionClock(.weights).now(db),
                "digest": digest,
            ])
    }

    /// Makes the row of a shard that an origin has and that was never here, as evicted and an orphan. A shard that has
    /// lost its bytes is evicted from now on; a present one stays as it is.
    package static func expect(_ facts: ShardFacts, _ db: Database) throws {
        let now = StoreClock.now
        try db.cachedStatement(
            sql: """
                INSERT INTO shard
                  (digest, bytes, kind, layer, head, state, last_access, inserted_at, verified_at, orphaned_at)
                VALUES (?, ?, ?, ?, ?, 'evicted', ?, ?, ?, ?)
                ON CONFLICT (digest) DO UPDATE SET state = iif(state = 'present', 'present', 'evicted')
                """
        ).execute(arguments: [
            facts.digest, facts.bytes, facts.kind.rawValue, facts.layer, facts.head, now, now, now, now,
        ])
    }

    /// Evicts a shard, if it may still go: an origin has it, no pin and no living process holds it.
    ///
    /// The table `temp.held` must list what living processes hold.
    ///
    /// - Returns: nil if it may not go.
    package static func markEvicted(_ shard: Int64, _ db: Database) throws -> (digest: ContentDigest, bytes: Int)? {
        try Row.fetchOne(
            db.cachedStatement(
                sql: """
                    UPDATE shard SET state = 'evicted'
                    WHERE id = ? AND evictable = 1 AND id NOT IN (SELECT shard_id FROM temp.held)
                    RETURNING digest, bytes
                    """),
            arguments: [shard]
        ).map { ($0["digest"], $0["bytes"]) }
    }

    /// The bytes are not what they should be, or not where.
    package static func mark(_ digest: ContentDigest, as state: ShardState, _ db: Database) throws {
        try db.cachedStatement(sql: "UPDATE shard SET state = ? WHERE digest = ?")
            .execute(arguments: [state.rawValue, digest])
    }

    /// Sets a shard aside that arrived with a file which is not the one that was published: no file holds it now.
    ///
    /// - Returns: its digest; nil if there is no such shard.
    package static func markRefused(_ shard: Int64, _ db: Database) throws -> ContentDigest? {
        try ContentDigest.fetchOne(
            db, sql: "UPDATE shard SET state = 'quarantined', orphaned_at = ? WHERE id = ? RETURNING digest",
            arguments: [StoreClock.now, shard])
    }

    /// The bytes on the disk were compared with the digest, and are the same.
    package static func markVerified(_ shards: [Int64], _ db: Database) throws {
        let mark = try db.cachedStatement(sql: "UPDATE shard SET verified_at = ? WHERE id = ?")
        for shard in shards { try mark.execute(arguments: [StoreClock.now, shard]) }
    }

    // MARK: Who references them

    /// The shards belong to a file now. One that a KV block has left is a file's, too.
    package static func adopt(_ shards: Set<Int64>, _ db: Database) throws {
        let adopt = try db.cachedStatement(
            sql: """
                UPDATE shard
                SET orphaned_at = NULL,
                    kind = iif(
                      kind = 'kv' AND NOT EXISTS (SELECT 1 FROM kv_block WHERE kv_block.shard_id = shard.id), 'file', kind)
                WHERE id = ?
                """)
        for shard in shards { try adopt.execute(arguments: [shard]) }
    }

    /// Nothing references the shard any more. The first such moment counts.
    package static func markOrphaned(_ shard: Int64, _ db: Database) throws {
        try db.cachedStatement(sql: "UPDATE shard SET orphaned_at = coalesce(orphaned_at, ?) WHERE id = ?")
            .execute(arguments: [StoreClock.now, shard])
    }

    /// Removes the row of a shard that nothing references.
    ///
    /// - Returns: the row, as it was; its blob is to be swept.
    package static func remove(_ shard: Int64, _ db: Database) throws -> Entry? {
        try Row.fetchOne(
            db.cachedStatement(sql: "DELETE FROM shard WHERE id = ? RETURNING \(entryColumns)"), arguments: [shard]
        ).map(Entry.init)
    }

    // MARK: KV blocks

    /// Makes the row of a KV block's shard, or takes over what a removed block has left that is not yet collected.
    ///
    /// - Returns: nil if a file holds the very bytes of its blob.
    package static func insertBlock(_ shard: KVShard, seconds: Double?, _ db: Database) throws -> Int64? {
        let now = StoreClock.now
        return try Int64.fetchOne(
            db.cachedStatement(
                sql: """
                    INSERT INTO shard
                      (digest, bytes, kind, depth, head, last_access, inserted_at, verified_at, fetch_seconds, clock)
                    VALUES
                      (?, ?, 'kv', ?, 0, ?, ?, ?, ?,
                       coalesce((SELECT value FROM setting WHERE name = 'eviction.kv.clock'), 0))
                    ON CONFLICT (digest) DO UPDATE
                    SET orphaned_at = NULL, access_count = 0, last_access = excluded.last_access
                    WHERE kind = 'kv'
                    RETURNING id
                    """),
            arguments: [shard.digest, shard.bytes, shard.depth, now, now, now, seconds])
    }

    /// Removes the row of a KV block's shard, unless it belongs to a file by now, or an import claims it.
    ///
    /// - Returns: nil if it stays; otherwise its blob is to be swept.
    package static func removeBlock(_ shard: Int64, _ db: Database) throws -> (digest: ContentDigest, bytes: Int)? {
        try Row.fetchOne(
            db.cachedStatement(
                sql: """
                    DELETE FROM shard
                    WHERE id = :shard AND kind = 'kv' AND NOT EXISTS (SELECT 1 FROM claim WHERE shard_id = :shard)
                    RETURNING digest, bytes
                    """),
            arguments: ["shard": shard]
        ).map { ($0["digest"], $0["bytes"]) }
    }

    // MARK: Uses

    /// Adds a batch of uses. The shard gets the reading of its eviction clock.
    ///
    /// - Parameters:
    ///   - last: when the last of them was, in seconds since 1970.
    ///   - clocks: the readings for weights and for KV blocks.
    package static func countUses(
        of shard: Name, _ count: Int, last: Int, clocks: (weights: Double, kv: Double), _ db: Database
    ) throws {
        let (sql, name): (String, any DatabaseValueConvertible) =
            switch shard {
            case .id(let id): (countUsesByID, id)
            case .digest(let digest): (countUsesByDigest, digest)
            }
        try db.cachedStatement(sql: sql).execute(arguments: [
            "count": count, "last": last, "clock": clocks.weights, "kvClock": clocks.kv, "shard": name,
        ])
    }

    private static let countUses = """
        UPDATE shard
        SET access_count = access_count + :count, last_access = max(last_access, :last),
            clock = iif(kind = 'kv', :kvClock, :clock),
            heat = heat * pow(0.5, max(:last - last_access, 0) / \(Heat.halfLife)) + :count
        """
    private static let countUsesByID = countUses + " WHERE id = :shard"
    private static let countUsesByDigest = countUses + " WHERE digest = :shard"

    /// Sets the clock of all shards of a kind back to 0, for a policy whose priorities count anew.
    package static func resetClocks(_ kind: QuotaKind, _ db: Database) throws {
        try db.execute(sql: "UPDATE shard SET clock = 0 WHERE clock <> 0 AND kind \(kind == .kv ? "=" : "<>") 'kv'")
    }
}

extension ShardFacts {
    /// From the columns `digest`, `bytes`, `kind`, `layer` and `head` of `shard`.
    package init(_ row: Row) throws {
        self.init(
            digest: row["digest"], bytes: row["bytes"], kind: try row.word("kind"), layer: row["layer"],
            head: row["head"])
    }
}
