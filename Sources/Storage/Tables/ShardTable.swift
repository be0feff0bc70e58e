import GRDB
import ModelFormats

/// The table `shard`: a row for each shard that the store has or can fetch. This type makes every change to it.
///
/// **A row and its blob.** A `present` row has a blob of the shard's size under its digest. So `insert`, `markPresent`,
/// `markFetched` and `insertBlock` run in the transaction that installs the blob. After `markEvicted`, `remove` and
/// `removeBlock` the blob is deleted (`DeletionAuthority`), but only once the transaction is committed. A row in
/// another state has no blob; its extents stay, and an import or a fetch restores the bytes.
///
/// **Orphans.** `orphaned_at` is the time since which nothing has referenced the shard. A file's shard starts as an
/// orphan, and the transaction that inserts its extents adopts it (`adopt`, which ignores shards without an extent). A
/// removal orphans it again (`markOrphaned`) if a claim keeps it, and a claim starts its grace period again
/// (`renewGrace`). A shard without extent, KV block and claim is an orphan, whatever its row says: a collection finds
/// such rows (`unreferenced`) and marks them. The shard of a KV block without a row is an orphan since 1970, so no
/// grace period keeps it.
///
/// **Uses** are counted in memory (`AccessLog`) and added in batches (`countUses`). `access_count` restarts at 0 each
/// time the bytes arrive; `heat` is kept across evictions.
///
/// **Maintained by triggers**: the tables `shard_totals` and `kv_totals`, and `evictable`, from the view
/// `shard_evictability`. The one change that no trigger follows is the removal of a revision: the visit of its files does
/// (`FileTable`, `updateEvictability`).
package enum ShardTable {
    static let entryColumns = "shard.id, shard.digest, shard.bytes, shard.kind, shard.state"

    // MARK: Arrival and eviction

    /// Inserts the row of a newly written shard as an orphan, or marks the existing row as present. For an evicted
    /// shard, `heat` is kept, and `access_count` restarts at 0.
    ///
    /// - Returns: the row's id.
    package static func markPresent(_ facts: ShardFacts, _ db: Database) throws -> Int64 {
        if let new = try insert(facts, db) { return new }
        return try Int64.fetchValue(
            db.cachedStatement(
                sql: """
                    UPDATE shard
                    SET state = 'present', verified_at = :now, inserted_at = :now, access_count = 0,
                        clock = coalesce((SELECT value FROM setting WHERE name = 'eviction.clock'), 0)
                    WHERE digest = :digest
                    RETURNING id
                    """),
            arguments: ["now": StoreClock.now, "digest": facts.digest])
    }

    /// Inserts the row of a newly written shard as an orphan.
    ///
    /// - Returns: the row's id; nil if the shard has a row already, which does not change.
    package static func insert(_ facts: ShardFacts, _ db: Database) throws -> Int64? {
        try insertRows(
            CollectionOfOne((id: nil, shard: NewShard(facts, .present, isOrphan: true))), onConflict: "DO NOTHING", db)
        return db.changesCount == 1 ? db.lastInsertedRowID : nil
    }

    /// Inserts the rows of shards that have none. The extents of those that are no orphans are inserted in the same
    /// transaction.
    ///
    /// - Returns: the ids of the rows, in the order of `shards`.
    package static func insert(_ shards: [NewShard], _ db: Database) throws -> [Int64] {
        if shards.isEmpty { return [] }
        let highest = try Int64.fetchValue(db.cachedStatement(sql: "SELECT coalesce(max(id), 0) FROM shard"))
        let (last, isOverflow) = highest.addingReportingOverflow(Int64(shards.count))
        guard !isOverflow else {
            throw DatabaseError.damaged("shard \(highest): no \(shards.count) higher ids are possible")
        }
        let ids = Array(highest + 1...last)
        try insertRows(zip(ids, shards).lazy.map { id, shard in (id: id, shard: shard) }, db)
        return ids
    }

    /// Inserts the row of a shard at an origin, as evicted and an orphan. An existing row without bytes becomes
    /// evicted; a present one does not change.
    package static func expect(_ facts: ShardFacts, _ db: Database) throws {
        try insertRows(
            CollectionOfOne((id: nil, shard: NewShard(facts, .evicted, isOrphan: true))),
            onConflict: "DO UPDATE SET state = iif(state = 'present', 'present', 'evicted')", db)
    }

    /// Inserts the rows of shards of files: the one statement that does.
    ///
    /// - Parameters:
    ///   - rows: the shards, each with the id of its row; nil for the next free one.
    ///   - conflict: the effect if a shard has a row; nil means an error.
    private static func insertRows(
        _ rows: some Sequence<(id: Int64?, shard: NewShard)>, onConflict conflict: String? = nil, _ db: Database
    ) throws {
        let now = StoreClock.now
        // FAIL: an error ends the transaction. For ABORT, SQLite copies each page that a statement with triggers changes.
        try db.cachedStatement(
            sql: """
                INSERT OR FAIL INTO shard
                  (id, digest, bytes, kind, layer, head, state, last_access, inserted_at, verified_at, orphaned_at, clock)
                VALUES
                  (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?8, ?9,
                   coalesce((SELECT value FROM setting WHERE name = 'eviction.clock'), 0))
                \(conflict.map { "ON CONFLICT (digest) \($0)" } ?? "")
                """
        ).execute(forEach: rows) { row, values in
            values.add(row.id)
            values.add(row.shard.facts.digest)
            values.add(row.shard.facts.bytes)
            values.add(row.shard.facts.kind.rawValue)
            values.add(row.shard.facts.layer)
            values.add(row.shard.facts.head)
            values.add(row.shard.state.rawValue)
            values.add(now)
            values.add(row.shard.isOrphan ? now : nil)
        }
    }

    /// Marks a shard whose bytes were fetched from an origin as present.
    ///
    /// - Parameter seconds: the duration of the fetch.
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

    /// Evicts a shard if that is still allowed: an origin has it, it is not pinned, and no living process uses it.
    ///
    /// The table `temp.held` must list the shards that living processes use.
    ///
    /// - Returns: nil if the shard may not be evicted.
    package static func markEvicted(_ shard: Int64, _ db: Database) throws -> (digest: ContentDigest, bytes: Int)? {
        try Row.fetchOne(
            db.cachedStatement(
                sql: """
                    UPDATE shard SET state = 'evicted'
                    WHERE id = ? AND evictable = 1 AND id NOT IN (SELECT shard_id FROM temp.held)
                    RETURNING digest, bytes
                    """),
            arguments: [shard]
        ).map { try ($0.value("digest"), $0.size("bytes")) }
    }

    /// Sets the state of a shard whose blob is damaged or missing.
    package static func mark(_ digest: ContentDigest, as state: ShardState, _ db: Database) throws {
        try db.cachedStatement(sql: "UPDATE shard SET state = ? WHERE digest = ?")
            .execute(arguments: [state.rawValue, digest])
    }

    /// Marks a shard as quarantined because the pulled file that it belongs to does not have the published digest. No
    /// other file references the shard.
    ///
    /// - Returns: its digest; nil if there is no such shard.
    package static func markRefused(_ shard: Int64, _ db: Database) throws -> ContentDigest? {
        try ContentDigest.fetchOne(
            db, sql: "UPDATE shard SET state = 'quarantined', orphaned_at = ? WHERE id = ? RETURNING digest",
            arguments: [StoreClock.now, shard])
    }

    /// Records that the bytes on disk match the digests.
    package static func markVerified(_ shards: [Int64], _ db: Database) throws {
        let mark = try db.cachedStatement(sql: "UPDATE shard SET verified_at = ? WHERE id = ?")
        for shard in shards { try mark.execute(arguments: [StoreClock.now, shard]) }
    }

    /// Records the first bytes of a KV block's shard, which are not known until a file has the same bytes.
    package static func setHead(_ head: Int64, of shard: Int64, _ db: Database) throws {
        try db.cachedStatement(sql: "UPDATE shard SET head = ? WHERE id = ?").execute(arguments: [head, shard])
    }

    // MARK: References

    /// Records that a file references the shards. Shards in which no file has an extent stay orphans. The shard of a
    /// removed KV block becomes one of kind `file`.
    package static func adopt(_ shards: Set<Int64>, _ db: Database) throws {
        // In the order of the rows: each page of the table is then written once.
        let sorted = shards.sorted()
        try db.cachedStatement(
            sql: """
                UPDATE shard
                SET orphaned_at = NULL
                WHERE id = ? AND orphaned_at IS NOT NULL
                      AND EXISTS (SELECT 1 FROM extent WHERE extent.shard_id = shard.id)
                """
        ).execute(forEach: sorted) { shard, values in values.add(shard) }
        // A statement of its own: triggers and indexes follow each change of `kind`.
        try db.cachedStatement(
            sql: """
                UPDATE shard
                SET kind = 'file'
                WHERE id = ? AND kind = 'kv' AND NOT EXISTS (SELECT 1 FROM kv_block WHERE kv_block.shard_id = shard.id)
                      AND EXISTS (SELECT 1 FROM extent WHERE extent.shard_id = shard.id)
                """
        ).execute(forEach: sorted) { shard, values in values.add(shard) }
    }

    /// Records that nothing references the shard. An orphan keeps its earlier time.
    package static func markOrphaned(_ shard: Int64, _ db: Database) throws {
        try db.cachedStatement(sql: "UPDATE shard SET orphaned_at = coalesce(orphaned_at, ?) WHERE id = ?")
            .execute(arguments: [StoreClock.now, shard])
    }

    /// Restarts the grace periods of orphans. No grace period keeps the shard of a removed KV block.
    package static func renewGrace(of shards: some Sequence<Int64>, _ db: Database) throws {
        let now = StoreClock.now
        // The row of an orphan of this second, as a new shard is, is not written again.
        try db.cachedStatement(sql: "UPDATE shard SET orphaned_at = ?1 WHERE id = ?2 AND orphaned_at NOT IN (0, ?1)")
            .execute(forEach: shards) { shard, values in
                values.add(now)
                values.add(shard)
            }
    }

    /// Sets `evictable` to what the holders of the shard say.
    package static func updateEvictability(of shard: Int64, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE shard
                SET evictable = 1 - evictable
                WHERE id = ?1
                      AND evictable <> (
                        SELECT shard_evictability.evictable FROM shard_evictability
                        WHERE shard_evictability.shard_id = ?1)
                """
        ).execute(arguments: [shard])
    }

    /// Removes the row of a shard that nothing references.
    ///
    /// - Returns: the removed row, whose blob the caller deletes.
    package static func remove(_ shard: Int64, _ db: Database) throws -> Entry? {
        try Row.fetchOne(
            db.cachedStatement(sql: "DELETE FROM shard WHERE id = ? RETURNING \(entryColumns)"), arguments: [shard]
        ).map(Entry.init)
    }

    // MARK: KV blocks

    /// Inserts the row of a KV block's shard, or reuses the row of a removed block that is not yet collected.
    ///
    /// - Returns: nil if a file's shard has the same bytes.
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

    /// Removes the row of a KV block's shard, unless it now belongs to a file or an import claims it.
    ///
    /// - Returns: the shard, whose blob the caller deletes; nil if the row stays.
    package static func removeBlock(_ shard: Int64, _ db: Database) throws -> (digest: ContentDigest, bytes: Int)? {
        try Row.fetchOne(
            db.cachedStatement(
                sql: """
                    DELETE FROM shard
                    WHERE id = :shard AND kind = 'kv' AND NOT EXISTS (SELECT 1 FROM claim WHERE shard_id = :shard)
                    RETURNING digest, bytes
                    """),
            arguments: ["shard": shard]
        ).map { try ($0.value("digest"), $0.size("bytes")) }
    }

    // MARK: Uses

    /// Adds a batch of uses, and sets the shard's `clock` to the current value of its eviction clock.
    ///
    /// - Parameters:
    ///   - last: the time of the last use, in seconds since 1970.
    ///   - clocks: the eviction clocks of weights and of KV blocks.
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

    /// Resets the clock of all shards of a kind to 0, for a policy with other priorities.
    package static func resetClocks(_ kind: QuotaKind, _ db: Database) throws {
        try db.execute(sql: "UPDATE shard SET clock = 0 WHERE clock <> 0 AND kind \(kind == .kv ? "=" : "<>") 'kv'")
    }
}
