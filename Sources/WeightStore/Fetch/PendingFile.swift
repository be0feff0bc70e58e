import GRDB
import ModelFormats
import Storage

/// A file of which some bytes were never fetched.
///
/// A hub publishes the SHA-256 of a whole file, never of a part, so a shard that was never fetched has neither a digest
/// nor a row. It needs none: the header says where the tensors are, and the plan (`ShardPlan`) depends only on the
/// header and on `file.rule`, so the rows in `file` and `tensor` describe all shards to come. **Bytes that were never
/// fetched have no extent**: there is no placeholder that a query could mistake for a shard, that must be renamed once
/// the digest is known, or that could contradict the plan. When a shard's bytes have arrived, its row, its extents and
/// its blob appear in one transaction, as in an import. If the store held a shard with that digest before, its bytes
/// are not stored twice.
///
/// When the last extent has arrived, the whole file is compared with the published digest, and `file.pending` becomes
/// 0. If the digest differs, the file's shards are quarantined, and its extents removed (`Store.refuse`).
///
/// A revision with a pending file has a provisional manifest (`Manifest`), a version and refs, and can be leased. When
/// its last file is complete, it gets its final manifest, the same that an import of the files would have made.
struct PendingFile: Sendable {
    let id: Int64
    let remote: RemoteFile
    let layout: FileLayout
    let plan: ShardPlan
    /// The shards of the plan that were never fetched.
    let missing: Set<Int>

    /// The pending files of a revision, sorted by path.
    static func all(of revision: Int64, _ db: Database) throws -> [PendingFile] {
        try rows(of: revision, path: nil, db).map { row in
            let remote = try RemoteFile(pending: row)
            let id: Int64 = try row.value("id")
            let layout = try FileLayout(
                format: FileFormat(rawValue: row.value("format")) ?? .other, bytes: remote.bytes,
                tensors: TensorTable.all(of: id, db), metadata: [:])
            var end = 0
            for tensor in layout.tensors where tensor.bytes > 0 {
                guard end...max(end, remote.bytes) ~= tensor.offset, tensor.bytes <= remote.bytes - tensor.offset else {
                    throw DatabaseError.damaged("the tensors of file \(id) overlap or lie outside of it")
                }
                end = tensor.offset + tensor.bytes
            }
            let plan = try ShardPlan(layout, rule: row.value("rule"))
            return PendingFile(
                id: id, remote: remote, layout: layout, plan: plan, missing: try missing(id, plan, db))
        }
    }

    /// A pending file of a revision, as its origins name it; nil if the file is complete, or there is none.
    static func remote(_ path: String, of revision: Int64, _ db: Database) throws -> RemoteFile? {
        try rows(of: revision, path: path, db).first.map { try RemoteFile(pending: $0) }
    }

    private static func rows(of revision: Int64, path: String?, _ db: Database) throws -> [Row] {
        try Row.fetchAll(
            try db.cachedStatement(
                sql: """
                    SELECT file.id, model.name AS model, revision.commit_id, revision_file.path, file.bytes, file.digest,
                           file.format, file.rule
                    FROM revision_file
                    JOIN file ON file.id = revision_file.file_id
                    JOIN revision ON revision.id = revision_file.revision_id
                    JOIN model ON model.id = revision.model_id
                    WHERE revision_file.revision_id = :revision AND file.pending
                          AND revision_file.path = coalesce(:path, revision_file.path)
                    ORDER BY revision_file.path
                    """),
            arguments: ["revision": revision, "path": path])
    }

    /// The shards of a plan that have no extent yet.
    static func missing(_ file: Int64, _ plan: ShardPlan, _ db: Database) throws -> Set<Int> {
        let known = try ExtentTable.offsets(of: file, db)
        return Set(plan.places.filter { !known.contains($0.offset) }.map(\.extent.shard))
    }
}

extension RemoteFile {
    /// From a row of a pending file.
    fileprivate init(pending row: Row) throws {
        try self.init(
            model: row.value("model"), commit: row.value("commit_id"), path: row.path("path"),
            bytes: row.size("bytes"),
            digest: row.value("digest"), gitObject: nil)
    }
}
