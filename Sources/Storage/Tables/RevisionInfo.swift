import GRDB

/// A revision and its totals.
public struct RevisionInfo: Sendable, Codable {
    /// The name of the model.
    public let model: String
    /// The version; nil while an import that moves files is incomplete.
    public let version: Int?
    /// The SHA-256 of the manifest.
    public let digest: ContentDigest
    /// The hub's commit, or the first 40 digits of the digest.
    public let commit: String
    /// The total size of the files, in bytes.
    public let bytes: Int
    /// The number of files.
    public let files: Int
    /// The number of tensors.
    public let tensors: Int
    /// The number of layers.
    public let layers: Int
    /// The path or URL from which it was imported or pulled.
    public let source: String
    /// The names of the refs, sorted.
    public let refs: [String]
    /// The note of the pin; nil if it is not pinned.
    public let pin: String?
    /// The time of the import or pull, in seconds since 1970.
    public let created: Int
    /// The time of the last access, in seconds since 1970.
    public let lastAccess: Int
    /// The number of accesses.
    public let accesses: Int
    /// Why files of the revision are missing; nil if none is known to be missing.
    public let partial: String?
    /// Bytes of the files that are not stored: evicted, never fetched, damaged or missing.
    public let absent: Int
    /// Of these, bytes of shards that are damaged or missing.
    public let damaged: Int
}

extension RevisionInfo {
    /// The revisions of a model by version, an incomplete one last.
    package static func all(of model: String, _ db: Database) throws -> [RevisionInfo] {
        let id = try ModelTable.id(of: model, db)
        let refs = try RefTable.byRevision(of: id, db)
        let absent = try RevisionTable.absentBytes(of: id, db)
        return try Row.mapAll(
            db,
            sql: """
                SELECT revision.id, revision.version, revision.digest, revision.commit_id, revision.bytes,
                       revision.file_count, revision.tensor_count, revision.layer_count, revision.source,
                       pin.note, revision.created_at, revision.last_access, revision.access_count
                FROM revision LEFT JOIN pin ON pin.revision_id = revision.id
                WHERE revision.model_id = ?
                ORDER BY revision.version IS NULL, revision.version
                """, arguments: [id]
        ) { row in
            let lacks = absent[try row.value("id")] ?? AbsentBytes()
            return try RevisionInfo(
                model: model, version: row.value("version"), digest: row.value("digest"),
                commit: row.value("commit_id"),
                bytes: row.size("bytes"), files: row.value("file_count"), tensors: row.value("tensor_count"),
                layers: row.value("layer_count"), source: row.value("source"), refs: refs[row.value("id")] ?? [],
                pin: row.value("note"),
                created: row.value("created_at"), lastAccess: row.value("last_access"),
                accesses: row.value("access_count"), partial: RevisionTable.partialReason(of: row.value("id"), db),
                absent: lacks.bytes, damaged: lacks.damaged)
        }
    }
}
