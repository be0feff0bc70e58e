import GRDB

/// The shards of a layer of a revision.
package struct LayerShards: Sendable {
    /// The number of the layer; nil for the shards outside layers.
    package let layer: Int?
    /// Bytes of the shards.
    package let bytes: Int
    /// Of these, bytes that are on disk.
    package let present: Int
    /// The number of experts of the layer.
    package var experts = 0
}

extension RevisionTable {
    /// The shards of a revision and their sizes, each shard once.
    package static func shardBytes(of revision: Int64, _ db: Database) throws -> [Int64: Int] {
        let rows = try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT id, bytes FROM shard
                    WHERE id IN (
                      SELECT extent.shard_id
                      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                      WHERE revision_file.revision_id = ?)
                    """), arguments: [revision]
        ) { row in try (row.value("id") as Int64, row.size("bytes")) }
        return Dictionary(uniqueKeysWithValues: rows)
    }

    /// The layers of a revision in order, then the shards outside layers.
    package static func layers(of revision: Int64, _ db: Database) throws -> [LayerShards] {
        let experts = try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT tensor.layer, count(DISTINCT tensor.expert) AS experts
                    FROM revision_file JOIN tensor ON tensor.file_id = revision_file.file_id
                    WHERE revision_file.revision_id = ? AND tensor.expert IS NOT NULL AND tensor.layer IS NOT NULL
                    GROUP BY tensor.layer
                    """), arguments: [revision]
        ) { row in try (row.value("layer") as Int, row.value("experts") as Int) }
        let count = Dictionary(uniqueKeysWithValues: experts)
        return try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT layer, sum(bytes) AS bytes,
                           sum(CASE WHEN state = 'present' THEN bytes ELSE 0 END) AS present
                    FROM shard
                    WHERE id IN (
                      SELECT extent.shard_id
                      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                      WHERE revision_file.revision_id = ?)
                    GROUP BY layer
                    ORDER BY layer IS NULL, layer
                    """), arguments: [revision]
        ) { row in
            let layer: Int? = try row.value("layer")
            return try LayerShards(
                layer: layer, bytes: row.size("bytes"), present: row.size("present"),
                experts: layer.flatMap { count[$0] } ?? 0)
        }
    }
}
