import GRDB
import Glibc
import Storage

/// A shard, and the origins that hold it.
struct WantedShard {
    let digest: ContentDigest
    let bytes: Int
    let state: ShardState
    /// Checked origins first, the nearest first. If empty, the shard cannot be fetched.
    let sources: [(url: String, request: ShardRequest)]

    /// The maximal number of sources.
    private static let mostSources = 16

    static func find(_ digest: ContentDigest, _ db: Database) throws -> WantedShard? {
        guard let shard = try ShardTable.find(digest, db) else { return nil }
        let places = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT revision_origin.url, model.name AS model, revision.commit_id, revision_file.path, extent.file_id,
                           file.bytes
                    FROM extent
                    JOIN file ON file.id = extent.file_id
                    JOIN revision_file ON revision_file.file_id = extent.file_id
                    JOIN revision ON revision.id = revision_file.revision_id
                    JOIN revision_origin ON revision_origin.revision_id = revision.id
                    JOIN model ON model.id = revision.model_id
                    WHERE extent.shard_id = ?
                    GROUP BY revision_origin.url, revision.id
                    ORDER BY revision_origin.checked_at IS NULL, revision_origin.absent_at IS NOT NULL,
                             revision_origin.position, revision.version DESC
                    LIMIT \(mostSources)
                    """),
            arguments: [shard.id])
        let sources = try places.map { place in
            let pieces = try ExtentTable.pieces(of: shard, in: place.value("file_id"), db).map {
                ShardRequest.Piece(fileOffset: $0.fileOffset, shardOffset: $0.shardOffset, length: $0.length)
            }
            var request = try ShardRequest(
                digest: digest, bytes: shard.bytes, model: place.value("model"), commit: place.value("commit_id"),
                path: place.path("path"), pieces: pieces)
            request.fileBytes = try place.size("bytes")
            return (url: try place.value("url") as String, request: request)
        }
        return WantedShard(digest: digest, bytes: shard.bytes, state: shard.state, sources: sources)
    }
}
