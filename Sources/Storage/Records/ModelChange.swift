import Files
import GRDB

/// A change to what the catalog says of a model, with the model's record written anew.
///
/// Order: the new record is a blob, durable, before the transaction commits; the one before it goes after the commit.
package struct ModelChange {
    package let catalog: Catalog
    package let blobs: BlobDirectory
    package let stage: () throws -> StagedFile

    package init(catalog: Catalog, blobs: BlobDirectory, stage: @escaping () throws -> StagedFile) {
        self.catalog = catalog
        self.blobs = blobs
        self.stage = stage
    }

    /// Runs `body` in a write transaction, then writes the records of the models it names, then commits.
    ///
    /// - Parameter body: makes the change, and returns a result and the ids of the models it changed.
    ///   With `dryRun`, nothing is changed.
    package func commit<Result>(dryRun: Bool = false, _ body: (Database) throws -> (result: Result, models: [Int64])) throws -> Result {
        try catalog.write(dryRun: dryRun) { db in
            let (result, models) = try body(db)
            return (result, old: dryRun ? [] : try models.compactMap { try writeRecord(of: $0, db) })
        } afterCommit: { _, change in
            for digest in change.old { try FileSystem.remove(blobs.path(digest, .record)) }
        }.0
    }

    /// - Returns: the digest of the record that the new one replaces.
    private func writeRecord(of model: Int64, _ db: Database) throws -> ContentDigest? {
        guard let record = try ModelRecord.next(model, db) else { return nil }
        let old = try ContentDigest.fetchOne(db, sql: "SELECT record FROM model WHERE id = ?", arguments: [model])
        let staged = try stage()
        let digest = try staged.writeWhole(try record.encoded())
        try blobs.install([(staged.path, .init(digest: digest, kind: .record))])
        try db.execute(
            sql: "UPDATE model SET record = ?, sequence = ? WHERE id = ?",
            arguments: [digest, record.sequence, model])
        return old
    }
}

extension ModelRecord {
    /// The record of a model as its rows are now; nil if the model has gone.
    package static func next(_ model: Int64, _ db: Database) throws -> ModelRecord? {
        guard
            let row = try Row.fetchOne(
                db, sql: "SELECT name, sequence, last_version, created_at FROM model WHERE id = ?",
                arguments: [model])
        else { return nil }
        let revisions = try Row.fetchAll(
            db,
            sql: """
                SELECT revision.digest, revision.version, revision.commit_id, revision.source,
                       revision.created_at, pin.note, revision.recoverable
                FROM revision LEFT JOIN pin ON pin.revision_id = revision.id
                WHERE revision.model_id = ?
                ORDER BY revision.id
                """, arguments: [model]
        ).map { row in
            Revision(
                digest: row[0], version: row[1], commit: row[2], source: row[3], createdAt: row[4], pin: row[5],
                recoverable: row[6] ? true : nil)
        }
        let refs = try Row.fetchAll(
            db,
            sql: """
                SELECT ref.name, revision.digest FROM ref JOIN revision ON revision.id = ref.revision_id
                WHERE ref.model_id = ?
                """, arguments: [model]
        ).map { ($0[0] as String, $0[1] as ContentDigest) }
        let origins = try String.fetchAll(
            db, sql: "SELECT url FROM origin WHERE model_id = ? ORDER BY position", arguments: [model])
        let prompts = try PromptRow.records(of: model, db)
        // By the clock, so that it is also beyond what a crash left: the record of a change that was not committed, or
        // of a model by this name that was removed.
        let sequence = max(row[1] + 1, Int(StoreClock.nanoseconds))
        return ModelRecord(
            model: row[0], sequence: sequence, lastVersion: row[2], createdAt: row[3], revisions: revisions,
            refs: Dictionary(uniqueKeysWithValues: refs), origins: origins, prompts: prompts)
    }
}
