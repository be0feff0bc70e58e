import GRDB

extension ShardTable {
    /// The shards of weights of a revision, in the order of their rows, which is about that of their blobs on disk. Much
    /// faster than `TensorPlacement.all`: a shard may hold hundreds of tensors.
    ///
    /// - Parameter path: only the shards of this file.
    package static func weights(of revision: Int64, path: String? = nil, _ db: Database) throws -> [ShardFacts] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT digest, bytes, kind, layer, head FROM shard
                    WHERE kind IN ('tensor', 'pack') AND id IN (
                      SELECT extent.shard_id
                      FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                      WHERE revision_file.revision_id = :revision AND (:path IS NULL OR revision_file.path = :path))
                    ORDER BY id
                    """), arguments: ["revision": revision, "path": path]
        ) { row in try ShardFacts(row) }
    }
}
