import Files
import GRDB
import Storage

extension Store {
    /// The disk usage of each model, and of the store.
    public func usage() throws -> StoreUsage {
        try catalog.read { db in
            // `held` has the distinct shards of each model; a shard that several models hold is shared.
            let rows = try Row.fetchAll(
                db,
                sql: """
                    WITH held AS MATERIALIZED (
                      SELECT DISTINCT revision.model_id, extent.shard_id
                      FROM revision
                      JOIN revision_file ON revision_file.revision_id = revision.id
                      JOIN extent ON extent.file_id = revision_file.file_id
                    ), holders AS MATERIALIZED (
                      SELECT shard_id, count(*) AS models FROM held GROUP BY shard_id
                    ), sums AS (
                      SELECT held.model_id, sum(shard.bytes) AS stored,
                             sum(CASE WHEN holders.models > 1 THEN shard.bytes ELSE 0 END) AS shared
                      FROM held
                      JOIN shard ON shard.id = held.shard_id AND shard.state = 'present'
                      JOIN holders ON holders.shard_id = held.shard_id
                      GROUP BY held.model_id
                    )
                    SELECT model.name, count(revision.id) AS revisions, coalesce(sum(revision.bytes), 0) AS logical,
                           coalesce(sums.stored, 0) AS stored, coalesce(sums.shared, 0) AS shared
                    FROM model
                    LEFT JOIN revision ON revision.model_id = model.id
                    LEFT JOIN sums ON sums.model_id = model.id
                    GROUP BY model.id
                    ORDER BY model.name
                    """)
            let models = try rows.map { row in
                let (stored, shared): (Int, Int) = try (row.value("stored"), row.value("shared"))
                return try ModelUsage(
                    model: row.value("name"), revisions: row.value("revisions"), logical: row.value("logical"),
                    stored: stored,
                    shared: shared, own: stored - shared)
            }
            return StoreUsage(
                models: models, logical: models.saturatingSum(\.logical),
                absent: try RevisionTable.absentBytes(db).values.saturatingSum(\.bytes),
                stored: try Totals.bytes(.weights, db),
                orphaned: try Int.fetchValue(
                    db,
                    sql: """
                        SELECT coalesce(sum(bytes), 0) FROM shard
                        WHERE orphaned_at IS NOT NULL AND state = 'present' AND kind <> 'kv'
                        """),
                evicted: try Int.fetchValue(
                    db, sql: "SELECT coalesce(sum(bytes), 0) FROM shard WHERE state = 'evicted'"),
                kv: try Totals.bytes(.kv, db))
        }
    }

    /// Counts of the store and its catalog.
    public func stats() throws -> StoreStats {
        let processes = try leases.holders().filter { $0.lease != leases.name }.map(\.process)
        return try catalog.read { db in
            func count(_ table: String) throws -> Int {
                try Int.fetchValue(db, sql: "SELECT count(*) FROM \(table)")
            }
            return StoreStats(
                models: try count("model"), revisions: try count("revision"), files: try count("file"),
                tensors: try count("tensor"), shards: try count("shard WHERE kind <> 'kv'"),
                stored: try Totals.bytes(.weights, db),
                kvBlocks: try Totals.shards(.kv, db), kvStored: try Totals.bytes(.kv, db),
                damaged: try count("shard WHERE state IN ('quarantined', 'missing')"), pins: try count("pin"),
                accesses: try Int.fetchValue(
                    db, sql: "SELECT coalesce(sum(access_count), 0) FROM shard WHERE kind <> 'kv'"),
                catalog: try FileSystem.status(catalog.path)?.bytes ?? 0,
                available: try FileSystem.availableBytes(path), processes: processes)
        }
    }
}
