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
    /// The number of shards that were fetched first, because other revisions need them and have no origin for them.
    public internal(set) var fetchedFirst = 0
    /// Bytes of these shards.
    public internal(set) var fetchedFirstBytes = 0
    /// The names of these other revisions.
    public internal(set) var neededBy: [String] = []
}

/// A revision that was skipped by a removal, or that a rebuild could not restore.
public struct KeptRevision: Sendable, Codable {
    /// `org/name@v3`; for a record that a rebuild could not read, its path.
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

/// Removes rows, and collects the blobs that become garbage.
struct Removal {
    var summary = RemovalSummary()
    /// The blobs to delete once the transaction is committed.
    private(set) var blobs: [BlobDirectory.Name] = []
    /// Those of KV blocks.
    private(set) var kvBlobs: [BlobDirectory.Name] = []
    /// The models whose records change.
    private(set) var models: Set<Int64> = []
    /// Shards to fetch before the removal.
    private(set) var fetchFirst: [NeededShard] = []
    /// Shards that could not be fetched, and why.
    var unfetchable: [ContentDigest: String] = [:]

    /// Drops the claims of dead processes. Reads the leases under the write lock, because every process that has
    /// committed a claim holds its lease by then.
    static func dropDeadClaims(_ leases: LeaseDirectory, _ db: Database) throws {
        try ClaimTable.dropDead(living: try leases.holders().map(\.lease), db)
    }

    /// Finds the shards that must be fetched before revisions are removed together.
    ///
    /// - Returns: whether there are none.
    /// - Throws: ``StoreError/neededElsewhere(revision:others:shards:reason:)`` if one of them could not be fetched.
    mutating func prepare(_ revisions: [RevisionRow], _ db: Database) throws -> Bool {
        var needed: [NeededShard] = []
        for revision in revisions {
            let shards = try NeededShard.all(of: revision.id, leaving: revisions.map(\.id), db)
            let reasons = unfetchable
            if let failed = shards.first(where: { reasons[$0.digest] != nil }) {
                throw StoreError.neededElsewhere(
                    revision: revision.name, others: Array(Set(shards.flatMap(\.others))).sorted(),
                    shards: shards.count, reason: unfetchable[failed.digest] ?? "")
            }
            needed += shards
        }
        var seen = Set(fetchFirst.map(\.digest))
        for shard in needed where seen.insert(shard.digest).inserted { fetchFirst.append(shard) }
        return needed.isEmpty
    }

    mutating func remove(_ revision: RevisionRow, _ db: Database) throws {
        summary.revisions.append(revision.name)
        summary.refs += try RefTable.names(of: revision.id, db).map { "\(revision.modelName)@\($0)" }
        models.insert(revision.model)
        let files = try RevisionTable.files(of: revision.id, db)
        try RevisionTable.remove(revision.id, db)
        // The removal orphaned the KV blocks that are valid for no other revision.
        let dropped = try KVTable.dropOrphans(db)
        kvBlobs += dropped.blobs
        summary.shards += dropped.blocks
        summary.kvBlocks += dropped.blocks
        summary.bytes += dropped.bytes
        blobs.append(.init(digest: revision.digest, kind: .manifest))
        for file in files { try removeIfUnused(file: file, db) }
    }

    mutating func removeModel(_ model: Int64, _ db: Database) throws {
        if let record = try ModelTable.remove(model, db) { blobs.append(.init(digest: record, kind: .record)) }
        models.remove(model)
    }

    /// Removes a file's rows if no revision holds it, and then the shards that no file references.
    mutating func removeIfUnused(file: Int64, _ db: Database) throws {
        if try FileTable.isLinked(file, db) { return }
        let shards = try ExtentTable.shards(of: file, db)
        try FileTable.remove(file, db)
        for shard in shards { try removeIfUnused(shard: shard, db) }
    }

    /// Removes a shard's row if no file, no KV block and no import of a live process references it.
    mutating func removeIfUnused(shard: Int64, _ db: Database) throws {
        if try ExtentTable.isReferenced(shard, db) || KVTable.isBlock(shard, db) { return }
        if try ClaimTable.isClaimed(shard, db) { return try ShardTable.markOrphaned(shard, db) }
        guard let removed = try ShardTable.remove(shard, db) else { return }
        blobs.append(.init(digest: removed.digest, kind: .shard))
        summary.shards += 1
        if removed.state == .present { summary.bytes += removed.bytes }
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
    /// - Parameter leaving: all revisions that are removed with it.
    static func all(of revision: Int64, leaving: [Int64], _ db: Database) throws -> [NeededShard] {
        // What no origin of the revision holds is not lost by its removal.
        guard try OriginTable.all(of: revision, db).contains(where: { $0.absentAt == nil }) else { return [] }
        let leaving = "[\(leaving.map { "\($0)" }.joined(separator: ", "))]"
        let rows = try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT shard.id, shard.digest, shard.bytes
                    FROM shard
                    WHERE shard.id IN (
                            SELECT extent.shard_id
                            FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                            WHERE revision_file.revision_id = :revision)
                          AND shard.state <> 'present'
                          AND EXISTS (\(holders))
                          AND NOT EXISTS (
                            \(holders)
                            AND EXISTS (
                              SELECT 1 FROM revision_origin
                              WHERE revision_origin.revision_id = holder.revision_id
                                    AND revision_origin.checked_at IS NOT NULL))
                    """),
            arguments: ["revision": revision, "leaving": leaving])
        return try rows.map { row in
            NeededShard(
                digest: row["digest"], bytes: row["bytes"],
                others: try RevisionRow.all(
                    where: """
                        revision.id IN (
                          SELECT revision_file.revision_id
                          FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
                          WHERE extent.shard_id = ?)
                        AND revision.id NOT IN (SELECT value FROM json_each(?))
                        """, [row["id"] as Int64, leaving], db
                ).map(\.name))
        }
    }

    /// The holders of a shard that stay.
    private static let holders = """
        SELECT 1
        FROM extent AS place JOIN revision_file AS holder ON holder.file_id = place.file_id
        WHERE place.shard_id = shard.id AND holder.revision_id NOT IN (SELECT value FROM json_each(:leaving))
        """
}
