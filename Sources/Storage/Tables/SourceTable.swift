import Files
import GRDB

/// The tables `source` and `source_shard`: imported files outside the store, and their stored shards by number in the
/// file's plan. This type makes every change to them.
///
/// There is one row for each inode: remembering a newer state of a file drops the older one, and so does remembering it
/// under another plan, as with two names of one inode whose formats differ. The numbers of shards mean something only
/// within the plan that they were made by, so `plan` has its digest (`ShardPlan.digest`). A row here does not keep a
/// shard from removal; an entry for a removed shard is ignored, and the file's part is read again. Files that have not
/// been imported for a long time are forgotten.
package enum SourceTable {
    /// The memo of a file in exactly this state; nil if there is none.
    package static func find(_ status: FileStatus, _ db: Database) throws -> SourceMemo? {
        guard
            let source = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT id, digest, plan FROM source
                        WHERE device = ? AND inode = ? AND bytes = ? AND modified_ns = ? AND changed_ns = ?
                        """),
                arguments: [status.device, status.inode, status.bytes, status.modified, status.changed])
        else { return nil }
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT source_shard.ordinal, shard.digest, shard.bytes, shard.kind, shard.layer, shard.head
                    FROM source_shard JOIN shard ON shard.id = source_shard.shard_id
                    WHERE source_shard.source_id = ? AND shard.state = 'present'
                    """),
            arguments: [source.value("id") as Int64])
        var memo = try SourceMemo(digest: source.value("digest"), plan: source.value("plan"), shards: [:])
        for row in rows { memo.shards[try row.size("ordinal")] = try ShardFacts(row) }
        return memo
    }

    /// The digest of a file that was read whole in exactly this state; nil if it was not.
    package static func digest(_ status: FileStatus, _ db: Database) throws -> ContentDigest? {
        try ContentDigest.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT digest FROM source
                    WHERE device = ? AND inode = ? AND bytes = ? AND modified_ns = ? AND changed_ns = ?
                          AND digest IS NOT NULL
                    """),
            arguments: [status.device, status.inode, status.bytes, status.modified, status.changed])
    }

    /// Finds or inserts the row of a source file.
    ///
    /// - Parameter plan: the digest of the plan that numbers its shards; nil to remember the file's digest alone.
    package static func remember(
        _ status: FileStatus, plan: ContentDigest? = nil, _ db: Database
    ) throws -> Int64 {
        let facts: StatementArguments = [
            status.device, status.inode, status.bytes, status.modified, status.changed, plan,
        ]
        try db.cachedStatement(
            sql: """
                DELETE FROM source
                WHERE device = ?1 AND inode = ?2
                  AND (bytes <> ?3 OR modified_ns <> ?4 OR changed_ns <> ?5 OR ?6 IS NOT NULL AND plan IS NOT ?6)
                """
        ).execute(arguments: facts)
        return try Int64.fetchValue(
            db.cachedStatement(
                sql: """
                    INSERT INTO source (device, inode, bytes, modified_ns, changed_ns, plan, seen_at)
                    VALUES (?, ?, ?, ?, ?, ?, ?)
                    ON CONFLICT (device, inode) DO UPDATE SET seen_at = excluded.seen_at
                    RETURNING id
                    """),
            arguments: facts + [StoreClock.now])
    }

    /// Records that shards of a source file are stored.
    ///
    /// - Parameter shards: their rows, with their numbers in the file's plan.
    package static func remember(_ shards: [(ordinal: Int, shard: Int64)], of source: Int64, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO source_shard (source_id, ordinal, shard_id) VALUES (?, ?, ?)
                """
        ).execute(forEach: shards) { entry, values in
            values.add(source)
            values.add(entry.ordinal)
            values.add(entry.shard)
        }
    }

    /// Sets the digest of a source file that was read completely.
    package static func setDigest(_ digest: ContentDigest?, of source: Int64, _ db: Database) throws {
        try db.cachedStatement(sql: "UPDATE source SET digest = ? WHERE id = ?").execute(arguments: [digest, source])
    }

    /// Forgets files that were last imported before `moment`, in seconds since 1970, and their shards.
    ///
    /// - Parameter limit: the maximal number of rows.
    /// - Returns: how many rows; 0 if there are no more.
    package static func forget(before moment: Int, limit: Int, _ db: Database) throws -> Int {
        guard
            let source = try Int64.fetchOne(
                db.cachedStatement(sql: "SELECT id FROM source WHERE seen_at < ? ORDER BY seen_at LIMIT 1"),
                arguments: [moment])
        else { return 0 }
        try db.cachedStatement(
            sql: """
                DELETE FROM source_shard
                WHERE source_id = :source
                      AND ordinal IN (SELECT ordinal FROM source_shard WHERE source_id = :source LIMIT :limit)
                """
        ).execute(arguments: ["source": source, "limit": limit])
        let shards = db.changesCount
        if shards == limit { return shards }
        try db.cachedStatement(sql: "DELETE FROM source WHERE id = ?").execute(arguments: [source])
        return shards + 1
    }
}
