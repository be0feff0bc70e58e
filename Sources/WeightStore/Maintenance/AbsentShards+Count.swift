import GRDB
import Storage
import Support

extension AbsentShards {
    /// - Parameters:
    ///   - revision: nil for the whole store.
    ///   - lost: receives each shard that no origin has.
    static func count(
        of revision: Int64?, _ db: Database, lost: (_ shard: Int64, ContentDigest) throws -> Void = { _, _ in }
    ) throws -> AbsentShards {
        var sql = """
            SELECT shard.id, shard.digest, shard.bytes,
                   CASE
                     WHEN EXISTS (\(Self.origins) AND revision_origin.checked_at IS NOT NULL) THEN 'checked'
                     WHEN EXISTS (\(Self.origins) AND revision_origin.absent_at IS NULL) THEN 'unchecked'
                     ELSE 'lost'
                   END AS availability
            FROM shard
            WHERE shard.state = 'evicted' AND EXISTS (
              SELECT 1
              FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
              WHERE extent.shard_id = shard.id)
            """
        if revision != nil {
            sql += """
                 AND shard.id IN (
                  SELECT extent.shard_id
                  FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                  WHERE revision_file.revision_id = :revision)
                """
        }
        let arguments: StatementArguments = revision.map { ["revision": $0] } ?? []
        var absent = AbsentShards()
        let rows = try Row.fetchCursor(db, sql: sql, arguments: arguments)
        while let row = try rows.next() {
            let bytes: Int = try row.size("bytes")
            switch try row.value("availability") as String {
            case "checked":
                absent.shards += 1
                absent.bytes.add(saturating: bytes)
            case "unchecked":
                absent.uncheckedShards += 1
                absent.uncheckedBytes.add(saturating: bytes)
            default:
                absent.lostShards += 1
                absent.lostBytes.add(saturating: bytes)
                try lost(row.value("id"), row.value("digest"))
            }
        }
        let pending = revision == nil ? "" : "AND revision_file.revision_id = :revision"
        absent.neverFetched = try Int.fetchValue(
            db,
            sql: """
                SELECT coalesce(sum(file.bytes - (
                  SELECT coalesce(sum(length), 0) FROM extent WHERE extent.file_id = file.id)), 0)
                FROM file
                WHERE file.pending AND file.id IN (SELECT file_id FROM revision_file WHERE TRUE \(pending))
                """, arguments: arguments)
        return absent
    }

    private static let origins = """
        SELECT 1
        FROM extent
        JOIN revision_file ON revision_file.file_id = extent.file_id
        JOIN revision_origin ON revision_origin.revision_id = revision_file.revision_id
        WHERE extent.shard_id = shard.id
        """
}
