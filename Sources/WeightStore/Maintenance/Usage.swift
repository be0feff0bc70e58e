import GRDB

/// What a model takes, and what deduplication saves.
public struct ModelUsage: Sendable, Codable {
    public let model: String
    public let revisions: Int
    /// Bytes of the files of all its revisions.
    public let logical: Int
    /// Bytes of the distinct shards under them.
    public let stored: Int
    /// Of these, bytes of shards that other models hold, too.
    public let shared: Int
    /// What removing the model would free: `stored` − `shared`.
    public let own: Int
}

/// What a store takes.
public struct StoreUsage: Sendable, Codable {
    public let models: [ModelUsage]
    /// Bytes of the files of all revisions.
    public let logical: Int
    /// Bytes of all shards of weights.
    public let stored: Int
    /// Of these, bytes that no revision references: what `gc` will free after the grace period.
    public let orphaned: Int
    /// Bytes of shards that went from the disk, and that an origin has.
    public let evicted: Int
    /// Bytes of KV blocks. They are not in the other figures.
    public let kv: Int
}

/// Counts of a store, and of its catalog.
public struct StoreStats: Sendable, Codable {
    public let models: Int
    public let revisions: Int
    public let files: Int
    public let tensors: Int
    /// Shards of weights, and their bytes.
    public let shards: Int
    public let stored: Int
    public let kvBlocks: Int
    /// Bytes of KV blocks.
    public let kvStored: Int
    public let damaged: Int
    public let pins: Int
    /// Uses of shards, each since it came in.
    public let accesses: Int
    /// Bytes of the catalog's file.
    public let catalog: Int
    /// Bytes that the disk still has.
    public let available: Int
    /// Processes that have the store open, this one left out.
    public let processes: [String]
}

extension Store {
    /// What each model takes, and all together.
    public func usage() throws -> StoreUsage {
        try catalog.read { db in
            // The distinct shards of each model; a shard counted by more than one model is shared.
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
                    SELECT model.name, count(revision.id), coalesce(sum(revision.bytes), 0),
                           coalesce(sums.stored, 0), coalesce(sums.shared, 0)
                    FROM model
                    LEFT JOIN revision ON revision.model_id = model.id
                    LEFT JOIN sums ON sums.model_id = model.id
                    GROUP BY model.id
                    ORDER BY model.name
                    """)
            let models = rows.map {
                ModelUsage(model: $0[0], revisions: $0[1], logical: $0[2], stored: $0[3], shared: $0[4], own: $0[3] - $0[4] as Int)
            }
            return StoreUsage(
                models: models, logical: models.reduce(0) { $0 + $1.logical }, stored: try Self.storedBytes(.weights, db),
                orphaned: try Int.fetchOne(
                    db,
                    sql: """
                        SELECT coalesce(sum(bytes), 0) FROM shard
                        WHERE orphaned_at IS NOT NULL AND state = 'present' AND kind <> 'kv'
                        """
                )!,
                evicted: try Int.fetchOne(
                    db, sql: "SELECT coalesce(sum(bytes), 0) FROM shard WHERE state = 'evicted'")!,
                kv: try Self.storedBytes(.kv, db))
        }
    }

    public func stats() throws -> StoreStats {
        let processes = try leases.holders().filter { $0.lease != leases.name }.map(\.process)
        return try catalog.read { db in
            func count(_ table: String) throws -> Int {
                try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table)")!
            }
            return StoreStats(
                models: try count("model"), revisions: try count("revision"), files: try count("file"),
                tensors: try count("tensor"), shards: try count("shard WHERE kind <> 'kv'"), stored: try Self.storedBytes(.weights, db),
                kvBlocks: try Self.storedShards(.kv, db), kvStored: try Self.storedBytes(.kv, db),
                damaged: try count("shard WHERE state IN ('quarantined', 'missing')"), pins: try count("pin"),
                accesses: try Int.fetchOne(db, sql: "SELECT coalesce(sum(access_count), 0) FROM shard WHERE kind <> 'kv'")!,
                catalog: try FileSystem.status(catalog.path)?.bytes ?? 0,
                available: try FileSystem.availableBytes(path), processes: processes)
        }
    }
}
