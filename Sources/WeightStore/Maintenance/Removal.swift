import GRDB
import Storage

/// The result of a removal, or of its dry run.
public struct RemovalSummary: Sendable, Codable {
    /// Names of the removed revisions.
    public internal(set) var revisions: [String] = []
    /// Refs that named them, as `org/name@ref`.
    public internal(set) var refs: [String] = []
    /// The number of shards removed, KV blocks included.
    public internal(set) var shards = 0
    /// Bytes of these shards that were on the disk.
    public internal(set) var bytes = 0
    /// Of the shards, the KV blocks that were valid only for these revisions.
    public internal(set) var kvBlocks = 0
    /// Revisions that were skipped.
    public internal(set) var kept: [KeptRevision] = []
    /// The number of shards fetched before the removal, because other revisions need them and have no origin for them.
    public internal(set) var fetchedFirst = 0
    /// Bytes of these shards.
    public internal(set) var fetchedFirstBytes = 0
    /// The names of these other revisions.
    public internal(set) var neededBy: [String] = []
    /// The deleted blobs, of this removal and earlier ones, that processes map, so that their bytes are still on the disk:
    /// ``Store/deletedMappings()``.
    public internal(set) var stillMapped: [DeletedMapping] = []
}

/// A revision that was skipped by a removal, or that a rebuild could not restore; or blobs that no revision holds.
public struct KeptRevision: Sendable, Codable {
    /// `org/name@~3`; for a record that a rebuild could not read, its path; for blobs, their number and size.
    public let revision: String
    /// Why it was skipped or not restored.
    public let reason: String
}

extension StoreError {
    /// The reason in a few words, for ``KeptRevision/reason``.
    var keeps: String {
        switch self {
        case .inUse(_, let holders): "in use by \(holders.joined(separator: ", "))"
        case .pinned(_, let note): note.isEmpty ? "pinned" : "pinned (\(note))"
        case .neededElsewhere(_, let others, let shards, let reason):
            "\(others.joined(separator: ", ")) need \(shards) of its shards, which could not be fetched: \(reason)"
        default: description
        }
    }
}

/// The first transaction of a removal: it takes revisions away, and does no work for each of their tensors.
///
/// The rest is done by `RemovalSlices`, which visits the files.
struct Removal {
    var summary = RemovalSummary()
    /// Manifests to delete once the transaction is committed.
    private(set) var manifests: [BlobDirectory.Name] = []
    /// The records of the models that were removed.
    private(set) var records: [ContentDigest] = []
    /// The models whose records change.
    private(set) var models: Set<Int64> = []
    /// The files that the revisions linked, to be visited after the commit.
    private(set) var files: [Int64] = []

    mutating func remove(_ revision: RevisionRow, _ db: Database) throws {
        summary.revisions.append(revision.name)
        summary.refs += try RefTable.names(of: revision.id, db).map { "\(revision.modelName)@\($0)" }
        models.insert(revision.model)
        files += try RevisionTable.files(of: revision.id, db)
        try RevisionTable.remove(revision.id, db)
        manifests.append(.init(digest: revision.digest, kind: .manifest))
    }

    mutating func removeModel(_ model: Int64, _ db: Database) throws {
        if let record = try ModelTable.remove(model, db) { records.append(record) }
        models.remove(model)
    }
}

/// A shard that is not stored, that a revision about to be removed has an origin for, and that no other holder does.
struct NeededShard: Sendable {
    let digest: ContentDigest
    let bytes: Int
    /// The names of the other revisions that hold it.
    let others: [String]

    /// The shards of a revision that must be fetched before it is removed.
    ///
    /// - Parameters:
    ///   - leaving: all revisions that are removed with it.
    ///   - fewAbsent: whether few shards of the store have no bytes here: then these are read rather than all shards of
    ///     the revision.
    ///   - isGone: whether the blob of a shard does not exist; nil not to look at the blobs of shards that are listed as
    ///     stored.
    static func all(
        of revision: Int64, leaving: [Int64], fewAbsent: Bool, isGone: ((ContentDigest) throws -> Bool)? = nil,
        _ db: Database
    ) throws -> [NeededShard] {
        // Shards that no origin of the revision holds are not lost by its removal.
        guard try OriginTable.all(of: revision, db).contains(where: { $0.absentAt == nil }) else { return [] }
        let absent = try rows("shard.state <> 'present'", of: revision, leaving: leaving, fewAbsent: fewAbsent, db)
        guard let isGone else { return absent }
        return try absent
            + rows("shard.state = 'present'", of: revision, leaving: leaving, fewAbsent: false, where: isGone, db)
    }

    private static func rows(
        _ condition: String, of revision: Int64, leaving: [Int64], fewAbsent: Bool,
        where isNeeded: (ContentDigest) throws -> Bool = { _ in true }, _ db: Database
    ) throws -> [NeededShard] {
        let leaving = "[\(leaving.map { "\($0)" }.joined(separator: ", "))]"
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT shard.id, shard.digest, shard.bytes
                    FROM shard \(fewAbsent ? "INDEXED BY shard_absent" : "")
                    WHERE \(fewAbsent ? isHeld : isInFiles)
                          AND \(condition)
                          AND EXISTS (\(holders))
                          AND NOT EXISTS (
                            \(holders)
                            AND EXISTS (
                              SELECT 1 FROM revision_origin
                              WHERE revision_origin.revision_id = holder.revision_id
                                    AND revision_origin.checked_at IS NOT NULL))
                    """),
            arguments: ["revision": revision, "leaving": leaving])
        return try rows.compactMap { row in
            let digest: ContentDigest = try row.value("digest")
            guard try isNeeded(digest) else { return nil }
            return try NeededShard(
                digest: digest, bytes: row.size("bytes"),
                others: RevisionRow.all(
                    where: """
                        revision.id IN (
                          SELECT revision_file.revision_id
                          FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
                          WHERE extent.shard_id = ?)
                        AND revision.id NOT IN (SELECT value FROM json_each(?))
                        """, [row.value("id") as Int64, leaving], db
                ).map(\.name))
        }
    }

    /// Two forms of "the revision holds the shard": the second reads all shards of the revision.
    private static let isHeld = """
        EXISTS (
          SELECT 1
          FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
          WHERE extent.shard_id = shard.id AND revision_file.revision_id = :revision)
        """
    private static let isInFiles = """
        shard.id IN (
          SELECT extent.shard_id
          FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
          WHERE revision_file.revision_id = :revision)
        """

    /// The holders of a shard that stay.
    private static let holders = """
        SELECT 1
        FROM extent AS place JOIN revision_file AS holder ON holder.file_id = place.file_id
        WHERE place.shard_id = shard.id AND holder.revision_id NOT IN (SELECT value FROM json_each(:leaving))
        """
}
