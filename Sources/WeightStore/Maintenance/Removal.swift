import GRDB
import Storage

/// What a removal freed, or would free.
public struct RemovalSummary: Sendable, Codable {
    /// Names of the revisions removed.
    public internal(set) var revisions: [String] = []
    /// Refs that named them, as `org/name@ref`.
    public internal(set) var refs: [String] = []
    public internal(set) var shards = 0
    /// Bytes of those shards: what the disk gets back.
    public internal(set) var bytes = 0
    /// Of the shards, KV blocks of the revisions, valid for no other one.
    public internal(set) var kvBlocks = 0
    /// Revisions passed over, and why.
    public internal(set) var kept: [KeptRevision] = []
}

public struct KeptRevision: Sendable, Codable {
    public let revision: String
    public let reason: String
}

extension StoreError {
    /// The reason in a few words, for a list.
    var keeps: String {
        switch self {
        case .inUse(_, let holders): "in use by \(holders.joined(separator: ", "))"
        case .pinned(_, let note): note.isEmpty ? "pinned" : "pinned (\(note))"
        default: description
        }
    }
}

/// A removal of rows, and what becomes garbage by it.
struct Removal {
    var summary = RemovalSummary()
    /// The blobs to sweep once the transaction is committed.
    private(set) var blobs: [BlobDirectory.Name] = []
    /// The models whose records change.
    private(set) var models: Set<Int64> = []

    /// Claims of dead processes protect nothing. Who lives is looked up here, under the write lock: whoever has
    /// committed a claim by now has its lease.
    static func dropDeadClaims(_ leases: LeaseDirectory, _ db: Database) throws {
        try ClaimTable.dropDead(living: try leases.holders().map(\.lease), db)
    }

    mutating func remove(_ revision: RevisionRow, _ db: Database) throws {
        summary.revisions.append(revision.name)
        summary.refs += try RefTable.names(of: revision.id, db).map { "\(revision.modelName)@\($0)" }
        models.insert(revision.model)
        let files = try RevisionTable.files(of: revision.id, db)
        try RevisionTable.remove(revision.id, db)
        // KV blocks that are valid for no other revision have gone with it.
        let dropped = try KVTable.dropOrphans(db)
        blobs += dropped.blobs
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

    /// Removes a file's rows if no revision holds it any more, and then the shards that no file references.
    mutating func removeIfUnused(file: Int64, _ db: Database) throws {
        if try FileTable.isLinked(file, db) { return }
        let shards = try ExtentTable.shards(of: file, db)
        try FileTable.remove(file, db)
        for shard in shards { try removeIfUnused(shard: shard, db) }
    }

    /// Removes a shard's row if neither a file, nor a KV block, nor the import of a living process needs it.
    mutating func removeIfUnused(shard: Int64, _ db: Database) throws {
        if try ExtentTable.isReferenced(shard, db) || KVTable.isBlock(shard, db) { return }
        if try ClaimTable.isClaimed(shard, db) { return try ShardTable.markOrphaned(shard, db) }
        guard let removed = try ShardTable.remove(shard, db) else { return }
        blobs.append(.init(digest: removed.digest, kind: .shard))
        summary.shards += 1
        if removed.state == .present { summary.bytes += removed.bytes }
    }
}

extension RevisionRow {
    /// As `find`; a model that has only an unfinished revision, or none, is found too.
    static func find(partialToo name: String, _ db: Database) throws -> RevisionRow {
        do {
            return try find(name, db)
        } catch StorageError.notFound(kind: "revision", _, _) where !name.contains("@") {
            if let model = try ModelTable.find(name, db), let row = try all(of: model, db).first { return row }
            throw StorageError.notFound(kind: "revision", name: name)
        }
    }
}
