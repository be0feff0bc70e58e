import GRDB
import Storage
import Tiers

/// One immutable state of a model. While the value lives, the revision cannot be removed.
public final class Revision: Sendable {
    /// `org/name`.
    public let model: String
    /// 1, 2, 3 … per model; nil while an import that moves its files is not complete.
    public let version: Int?
    /// The SHA-256 of the manifest.
    public let digest: ContentDigest
    let id: Int64
    let store: Store
    let hold: RevisionHold
    /// Its views, one per tier.
    let views = RevisionViewCache()

    /// Owns a use of the revision that the caller has begun.
    init(_ row: RevisionRow, store: Store) {
        model = row.modelName
        version = row.version
        digest = row.digest
        id = row.id
        self.store = store
        hold = RevisionHold(LeaseDirectory.Use(model: row.modelName, digest: row.digest), in: store.leases)
    }

    /// `org/name@~3`.
    public var name: String { RevisionName.text(model, version: version, digest: digest) }
}

extension Revision {
    /// The revision's entry in the catalog.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func info() throws -> RevisionInfo {
        let all = try store.catalog.read { db in try RevisionInfo.all(of: model, db) }
        // The digest changes when the last byte of a pulled revision arrives.
        guard let info = all.first(where: { $0.digest == digest || version != nil && $0.version == version }) else {
            throw StorageError.notFound(kind: "revision", name: name)
        }
        return info
    }
}

/// A file of a revision.
public struct FileInfo: Sendable, Codable {
    /// The path in the revision: relative, separated by `/`.
    public let path: String
    /// The file's size.
    public let bytes: Int
    /// The SHA-256 of the whole file.
    public let digest: ContentDigest
    /// `safetensors`, `gguf`, `other`, …: ``FileFormat``.
    public let format: String
    /// The number of distinct shards.
    public let shards: Int
    /// The number of tensors.
    public let tensors: Int
}

extension Revision {
    /// The files, sorted by path.
    public func files() throws -> [FileInfo] {
        try store.catalog.read { db in
            try Row.mapAll(
                db,
                sql: """
                    SELECT revision_file.path, file.bytes, file.digest, file.format,
                           (SELECT count(DISTINCT shard_id) FROM extent WHERE extent.file_id = file.id) AS shards,
                           (SELECT count(*) FROM tensor WHERE tensor.file_id = file.id) AS tensors
                    FROM revision_file JOIN file ON file.id = revision_file.file_id
                    WHERE revision_file.revision_id = ?
                    ORDER BY revision_file.path
                    """, arguments: [id]
            ) { row in
                try FileInfo(
                    path: row.path("path"), bytes: row.size("bytes"), digest: row.value("digest"),
                    format: row.value("format"), shards: row.value("shards"), tensors: row.value("tensors"))
            }
        }
    }
}
