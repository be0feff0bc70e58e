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
        guard let id = try Int64.fetchOne(db, sql: "SELECT id FROM model WHERE name = ?", arguments: [model]) else {
            throw StorageError.notFound(kind: "model", name: model)
        }
        var refs: [Int64: [String]] = [:]
        for row in try Row.fetchAll(
            db, sql: "SELECT revision_id, name FROM ref WHERE model_id = ? ORDER BY name", arguments: [id])
        {
            refs[row[0], default: []].append(row[1])
        }
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
                model: model, version: row[1], digest: row[2], commit: row[3], bytes: row[4], files: row[5],
                tensors: row[6], layers: row[7], source: row[8], refs: refs[row[0]] ?? [], pin: row[9],
                created: row[10], lastAccess: row[11], accesses: row[12])
        }
    }
}
