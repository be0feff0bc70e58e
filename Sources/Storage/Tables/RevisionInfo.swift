import GRDB

/// A revision, as `show` shows it.
public struct RevisionInfo: Sendable, Codable {
    public let model: String
    /// nil while `import --move` is still bringing files in.
    public let version: Int?
    public let digest: ContentDigest
    /// The hub's commit, or the first 40 digits of the digest.
    public let commit: String
    public let bytes: Int
    public let files: Int
    public let tensors: Int
    public let layers: Int
    public let source: String
    public let refs: [String]
    /// The note of the pin, if there is one.
    public let pin: String?
    /// Seconds since 1970.
    public let created: Int
    public let lastAccess: Int
    public let accesses: Int
}

extension RevisionInfo {
    package static func all(of model: String, _ db: Database) throws -> [RevisionInfo] {
        let id = try ModelTable.id(of: model, db)
        let refs = try RefTable.byRevision(of: id, db)
        return try Row.fetchAll(
            db,
            sql: """
                SELECT revision.id, revision.version, revision.digest, revision.commit_id, revision.bytes,
                       revision.file_count, revision.tensor_count, revision.layer_count, revision.source,
                       pin.note, revision.created_at, revision.last_access, revision.access_count
                FROM revision LEFT JOIN pin ON pin.revision_id = revision.id
                WHERE revision.model_id = ?
                ORDER BY revision.version IS NULL, revision.version
                """, arguments: [id]
        ).map { row in
            RevisionInfo(
                model: model, version: row["version"], digest: row["digest"], commit: row["commit_id"],
                bytes: row["bytes"], files: row["file_count"], tensors: row["tensor_count"],
                layers: row["layer_count"], source: row["source"], refs: refs[row["id"]] ?? [], pin: row["note"],
                created: row["created_at"], lastAccess: row["last_access"], accesses: row["access_count"])
        }
    }
}
