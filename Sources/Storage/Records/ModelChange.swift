import Files
import GRDB
import Support

/// A change of a model in the catalog that also rewrites the model's record.
///
/// Order: the digests of the new record and of the one that it replaces are noted in `write.lock` (`WriteLock`); the
/// new record is a durable blob before the transaction commits; after the commit the previous one is deleted, and the
/// note is cleared. A change that is interrupted leaves its note, and the next one deletes those of the noted records
/// that the catalog does not have. Otherwise a record that was never committed, or whose model was removed, would list
/// the model again at a rebuild.
///
/// A record written where the blobs are not mounted would be hidden once they are. So no model changes without the
/// store's marker in `blobs/` (`StoreIdentity`).
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
    /// - Throws: ``StorageError/foreignBlobs(path:found:)``, and the errors of `body`.
    package func commit<Result>(dryRun: Bool = false, _ body: (Database) throws -> (result: Result, models: [Int64]))
        throws -> Result
    {
        try commitRemoval(dryRun: dryRun) { db in
            let (result, models) = try body(db)
            return (result, models, [])
        }
    }

    /// As `commit`, for a change that also removes models.
    ///
    /// - Parameters:
    ///   - dryRun: roll back, and write no records.
    ///   - body: also returns the records of the models that it has removed.
    package func commitRemoval<Result>(
        dryRun: Bool = false,
        _ body: (Database) throws -> (result: Result, models: [Int64], removed: [ContentDigest])
    ) throws -> Result {
        let authority = DeletionAuthority(catalog: catalog, blobs: blobs)
        return try catalog.write(dryRun: dryRun, work: work) { db in
            var pending: [ContentDigest] = []
            if !dryRun {
                try StoreIdentity.requireIfMarked(blobs, db)
                pending = try authority.deletePending(db)
            }
            let (result, models, removed) = try body(db)
            if !dryRun { try RebuildLoss.settle(db) }
            return (result, replaced: dryRun ? nil : try writeRecords(of: models, removed, pending, db))
        } afterCommit: { db, change in
            guard let replaced = change.replaced, try authority.deleteReplaced(replaced, db) else { return }
            // A remaining note is cleared by the next change.
            try? catalog.notePending([])
        }.0
    }

    /// - Parameter pending: the noted records that could not be deleted yet; they stay noted.
    /// - Returns: the digests of the records that no longer belong to a model; nil if no record changes.
    private func writeRecords(
        of models: [Int64], _ removed: [ContentDigest], _ pending: [ContentDigest], _ db: Database
    ) throws -> [ContentDigest]? {
        var (written, replaced) = ([(bytes: [UInt8], digest: ContentDigest)](), removed)
        for model in models {
            guard let record = try ModelRecord.next(model, db) else { continue }
            let bytes = try record.encoded()
            let digest = bytes.withUnsafeBytes { ContentDigest(of: $0) }
            if let old = try ModelTable.record(of: model, db) { replaced.append(old) }
            try ModelTable.setRecord(digest, sequence: record.sequence, of: model, db)
            written.append((bytes, digest))
        }
        if written.isEmpty && replaced.isEmpty { return nil }
        try catalog.notePending(pending + replaced + written.map(\.digest))
        for record in written {
            let staged = try stage()
            let digest = try staged.writeWhole(record.bytes)
            try blobs.install([(staged, .init(digest: digest, kind: .record))])
        }
        return replaced
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
        let revisions = try Row.mapAll(
            db,
            sql: """
                SELECT revision.id, revision.digest, revision.version, revision.commit_id, revision.source,
                       revision.created_at, pin.note
                FROM revision LEFT JOIN pin ON pin.revision_id = revision.id
                WHERE revision.model_id = ?
                ORDER BY revision.id
                """, arguments: [model]
        ) { row in
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
