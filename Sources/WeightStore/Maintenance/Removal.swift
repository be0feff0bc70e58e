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

    /// Drops the claims of dead processes. Reads the leases under the write lock, because every process that has
    /// committed a claim holds its lease by then.
    static func dropDeadClaims(_ leases: LeaseDirectory, _ db: Database) throws {
        try ClaimTable.dropDead(living: try leases.holders().map(\.lease), db)
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
