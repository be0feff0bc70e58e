import GRDB

/// Bytes of a revision's files that are not stored.
package struct AbsentBytes: Sendable, Equatable {
    /// All of them: evicted, damaged or missing, and those that were never fetched.
    package var bytes = 0
    /// Of these, bytes of shards that are damaged or missing.
    package var damaged = 0
}

extension RevisionTable {
    /// The bytes that the revisions of a model, or of all models, lack, by revision; a revision without an entry is whole.
    ///
    /// SQLite joins in the order that is written, from the absent shards on: the time grows with their number and that of
    /// the model's files, not with the store.
    package static func absentBytes(of model: Int64? = nil, _ db: Database) throws -> [Int64: AbsentBytes] {
        let isWanted = model == nil ? "TRUE" : "revision.model_id = :model"
        let rows = try Row.mapAll(
            db,
            sql: """
                WITH absent_file AS MATERIALIZED (
                  SELECT extent.file_id, sum(extent.length) AS bytes,
                         sum(CASE WHEN shard.state = 'evicted' THEN 0 ELSE extent.length END) AS damaged
                  FROM shard INDEXED BY shard_absent
                  CROSS JOIN extent ON extent.shard_id = shard.id
                  WHERE shard.state <> 'present'
                  GROUP BY extent.file_id
                  UNION ALL
                  SELECT file.id,
                         file.bytes
                           - coalesce((SELECT sum(extent.length) FROM extent WHERE extent.file_id = file.id), 0), 0
                  FROM revision
                  CROSS JOIN revision_file ON revision_file.revision_id = revision.id
                  CROSS JOIN file ON file.id = revision_file.file_id
                  WHERE \(isWanted) AND file.pending
                  GROUP BY file.id
                )
                SELECT revision_file.revision_id AS revision, sum(absent_file.bytes) AS bytes,
                       sum(absent_file.damaged) AS damaged
                FROM absent_file
                CROSS JOIN revision_file ON revision_file.file_id = absent_file.file_id
                CROSS JOIN revision ON revision.id = revision_file.revision_id
                WHERE \(isWanted)
                GROUP BY revision_file.revision_id
                """, arguments: model.map { ["model": $0] } ?? []
        ) { row in
            let id: Int64 = try row.value("revision")
            return try (id, AbsentBytes(bytes: max(row.value("bytes"), 0), damaged: row.value("damaged")))
        }
        return Dictionary(uniqueKeysWithValues: rows)
    }
}
