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
        let holders = try leases.holders()
        let marks = databaseQuestionMarks(count: holders.count)
        try db.execute(
            sql: "DELETE FROM claim WHERE lease NOT IN (\(marks))", arguments: StatementArguments(holders.map(\.lease)))
    }

    mutating func remove(_ revision: RevisionRow, _ db: Database) throws {
        summary.revisions.append(revision.name)
        summary.refs += try String.fetchAll(
            db, sql: "SELECT name FROM ref WHERE revision_id = ?", arguments: [revision.id]
        ).map { "\(revision.modelName)@\($0)" }
        models.insert(revision.model)
        let files = try Int64.fetchAll(
            db, sql: "SELECT DISTINCT file_id FROM revision_file WHERE revision_id = ?", arguments: [revision.id])
        try db.execute(sql: "DELETE FROM revision WHERE id = ?", arguments: [revision.id])
        // KV blocks that are valid for no other revision have gone with it.
        let dropped = try KVRow.dropOrphans(db)
        blobs += dropped.blobs
        summary.shards += dropped.blocks
        summary.kvBlocks += dropped.blocks
        summary.bytes += dropped.bytes
        blobs.append(.init(digest: revision.digest, kind: .manifest))
        for file in files { try removeIfUnused(file: file, db) }
    }

    mutating func removeModel(_ model: Int64, _ db: Database) throws {
        let record = try ContentDigest.fetchOne(
            db, sql: "DELETE FROM model WHERE id = ? RETURNING record", arguments: [model])
        if let record { blobs.append(.init(digest: record, kind: .record)) }
        models.remove(model)
    }

    /// Removes a file's rows if no revision holds it any more, and then the shards that no file references.
    mutating func removeIfUnused(file: Int64, _ db: Database) throws {
        let isUsed = try Bool.fetchOne(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM revision_file WHERE file_id = ?)"),
            arguments: [file]) ?? true
        if isUsed { return }
        let shards = try Int64.fetchAll(
            db.cachedStatement(sql: "SELECT DISTINCT shard_id FROM extent WHERE file_id = ?"), arguments: [file])
        try db.cachedStatement(sql: "DELETE FROM file WHERE id = ?").execute(arguments: [file])
        for shard in shards { try removeIfUnused(shard: shard, db) }
    }

    /// Removes a shard's row if neither a file, nor a KV block, nor the import of a living process needs it.
    mutating func removeIfUnused(shard: Int64, _ db: Database) throws {
        let use = try Row.fetchOne(
            db.cachedStatement(sql: """
                SELECT EXISTS (SELECT 1 FROM extent WHERE shard_id = :shard)
                       OR EXISTS (SELECT 1 FROM kv_block WHERE shard_id = :shard),
                       EXISTS (SELECT 1 FROM claim WHERE shard_id = :shard)
                """),
            arguments: ["shard": shard])
        guard let use, !use[0] else { return }
        if use[1] {
            try db.cachedStatement(sql: "UPDATE shard SET orphaned_at = coalesce(orphaned_at, ?) WHERE id = ?")
                .execute(arguments: [StoreClock.now, shard])
            return
        }
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "DELETE FROM shard WHERE id = ? RETURNING digest, bytes, state"),
            arguments: [shard])
        guard let row else { return }
        blobs.append(.init(digest: row[0], kind: .shard))
        summary.shards += 1
        if row[2] == ShardState.present.rawValue { summary.bytes += row[1] }
    }
}

extension RevisionRow {
    /// As `find`; a model that has only an unfinished revision, or none, is found too.
    static func find(partialToo name: String, _ db: Database) throws -> RevisionRow {
        do {
            return try find(name, db)
        } catch StorageError.notFound(kind: "revision", _, _) where !name.contains("@") {
            let model = try Int64.fetchOne(db, sql: "SELECT id FROM model WHERE name = ?", arguments: [name])!
            if let row = try all(of: model, db).first { return row }
            throw StorageError.notFound(kind: "revision", name: name)
        }
    }
}
