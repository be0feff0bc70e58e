import GRDB
import ModelFormats
import Storage

/// A file of which not all bytes have come.
///
/// A hub publishes the SHA-256 of a whole file, never that of a part, so a shard that has not come has no digest, and no
/// row. It needs none: the header says where the tensors are, the plan (`ShardPlan`) depends on the header alone, and so
/// the rows `file` and `tensor` are all that must be kept of a shard to come. **What has not come has no extent**:
/// there is no placeholder that a query could take for a shard, nothing to be renamed when the digest shows, and nothing
/// that could contradict the plan. When a shard's bytes are here, its row, its extents and its blob appear in one
/// transaction, as in an import; and if the store held a shard with that digest before, its bytes are not kept twice.
///
/// When the last extent has come, the whole is compared with the published digest, and `file.pending` goes to 0. If it
/// differs, what came of it is set aside, and the extents go (`Store.refuse`).
///
/// A revision with a pending file has a manifest that says so (`Manifest`), a version and refs, and can be leased; when
/// its last file is whole it gets its final manifest, the same that an import of the files would have made.
struct PendingFile: Sendable {
    let id: Int64
    let remote: RemoteFile
    let layout: FileLayout
    let plan: ShardPlan
    /// The shards of the plan that have not come.
    let missing: Set<Int>

    /// The pending files of a revision, by path.
    static func all(of revision: Int64, _ db: Database) throws -> [PendingFile] {
        try Row.fetchAll(
            try db.cachedStatement(
                sql: """
                    SELECT file.id, model.name AS model, revision.commit_id, revision_file.path, file.bytes, file.digest,
                           file.format
                    FROM revision_file
                    JOIN file ON file.id = revision_file.file_id
                    JOIN revision ON revision.id = revision_file.revision_id
                    JOIN model ON model.id = revision.model_id
                    WHERE revision_file.revision_id = ? AND file.pending
                    ORDER BY revision_file.path
                    """),
            arguments: [revision]
        ).map { row in
            let remote = RemoteFile(
                model: row["model"], commit: row["commit_id"], path: row["path"], bytes: row["bytes"],
                digest: row["digest"], gitObject: nil)
            let id: Int64 = row["id"]
            let layout = FileLayout(
                format: FileFormat(rawValue: row["format"]) ?? .other, bytes: remote.bytes,
                tensors: try TensorTable.all(of: id, db), metadata: [:])
            let plan = ShardPlan(layout)
            return PendingFile(
                id: id, remote: remote, layout: layout, plan: plan, missing: try missing(id, plan, db))
        }
    }

    /// The shards of a plan that have no extent yet.
    static func missing(_ file: Int64, _ plan: ShardPlan, _ db: Database) throws -> Set<Int> {
        let known = try ExtentTable.offsets(of: file, db)
        return Set(plan.places.filter { !known.contains($0.offset) }.map(\.extent.shard))
    }
}
