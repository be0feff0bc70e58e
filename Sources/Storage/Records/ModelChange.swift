import Files
import GRDB
import Support

/// A change of a model in the catalog that also rewrites the model's record.
///
/// Order: the new record is a durable blob before the transaction commits; the previous one is removed after the
/// commit.
package struct ModelChange {
    package let catalog: Catalog
    package let blobs: BlobDirectory
    package let stage: () throws -> StagedFile
    private let work: Work?

    /// - Parameter work: cancelling it ends the wait for the write lock.
    package init(
        catalog: Catalog, blobs: BlobDirectory, _ work: Work? = nil, stage: @escaping () throws -> StagedFile
    ) {
        self.catalog = catalog
        self.blobs = blobs
        self.work = work
        self.stage = stage
    }

    /// Runs `body` in a write transaction, then writes the records of the models it returns, then commits.
    ///
    /// - Parameters:
    ///   - dryRun: roll back, and write no records.
    ///   - body: makes the change, and returns a result and the ids of the changed models.
    package func commit<Result>(dryRun: Bool = false, _ body: (Database) throws -> (result: Result, models: [Int64]))
        throws -> Result
    {
        try catalog.write(dryRun: dryRun, work: work) { db in
            let (result, models) = try body(db)
            return (result, old: dryRun ? [] : try models.compactMap { try writeRecord(of: $0, db) })
        } afterCommit: { db, change in
            try DeletionAuthority(catalog: catalog, blobs: blobs).deleteReplaced(change.old, db)
        }.0
    }

    /// - Returns: the digest of the record that the new one replaces.
    private func writeRecord(of model: Int64, _ db: Database) throws -> ContentDigest? {
        guard let record = try ModelRecord.next(model, db) else { return nil }
        let old = try ModelTable.record(of: model, db)
        let staged = try stage()
        let digest = try staged.writeWhole(try record.encoded())
        try blobs.install([(staged.path, .init(digest: digest, kind: .record))])
        try ModelTable.setRecord(digest, sequence: record.sequence, of: model, db)
        return old
    }
}

extension ModelRecord {
    /// The record of a model's current rows; nil if the model does not exist.
    package static func next(_ model: Int64, _ db: Database) throws -> ModelRecord? {
        guard
            let row = try Row.fetchOne(
                db, sql: "SELECT name, sequence, last_version, created_at FROM model WHERE id = ?",
                arguments: [model])
        else { return nil }
        let revisions = try Row.fetchAll(
            db,
            sql: """
                SELECT revision.id, revision.digest, revision.version, revision.commit_id, revision.source,
                       revision.created_at, pin.note
                FROM revision LEFT JOIN pin ON pin.revision_id = revision.id
                WHERE revision.model_id = ?
                ORDER BY revision.id
                """, arguments: [model]
        ).map { row in
            try Revision(
                digest: row.value("digest"), version: row.value("version"), commit: row.value("commit_id"),
                source: row.value("source"),
                createdAt: row.value("created_at"), pin: row.value("note"),
                origins: OriginTable.all(of: row.value("id"), db).map {
                    Origin(url: $0.url, checkedAt: $0.checkedAt, absentAt: $0.absentAt)
                })
        }
        let prompts = try PromptTable.records(of: model, db)
        // The clock makes it greater than the sequence of a record that a crash left behind: that of an uncommitted
        // change, or of a removed model with this name.
        let sequence = try max(row.value("sequence") + 1, Int(StoreClock.nanoseconds))
        return try ModelRecord(
            model: row.value("name"), sequence: sequence, lastVersion: row.value("last_version"),
            createdAt: row.value("created_at"),
            revisions: revisions, refs: RefTable.targets(of: model, db),
            origins: OriginTable.urls(of: model, db), prompts: prompts)
    }
}
