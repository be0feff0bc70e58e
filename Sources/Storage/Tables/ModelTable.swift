import GRDB

/// The table `model`: a row for each model that has, or had, a revision. This type makes every change to it.
///
/// **A version number is used only once.** `last_version` only grows, and is kept when the revision with that number is
/// removed; a model's row is kept when its last revision is pruned, or when a rebuild loses all of its revisions. `rm` of the
/// model removes it.
///
/// **`record`** is the digest of the blob from which a rebuild restores the model's rows. Every change to the model
/// replaces it and increases `sequence`, in the same transaction (`ModelChange`).
package enum ModelTable {
    /// - Returns: nil if there is no such model.
    package static func find(_ name: String, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(db.cachedStatement(sql: "SELECT id FROM model WHERE name = ?"), arguments: [name])
    }

    /// The id of a model.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    package static func id(of name: String, _ db: Database) throws -> Int64 {
        guard let id = try find(name, db) else { throw StorageError.notFound(kind: "model", name: name) }
        return id
    }

    /// The number of models.
    package static func count(_ db: Database) throws -> Int {
        try Int.fetchValue(db.cachedStatement(sql: "SELECT count(*) FROM model"))
    }

    /// The names of the models of which a revision holds a shard.
    package static func names(holding shard: ContentDigest, _ db: Database) throws -> [String] {
        try String.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT DISTINCT model.name
                    FROM shard
                    JOIN extent ON extent.shard_id = shard.id
                    JOIN revision_file ON revision_file.file_id = extent.file_id
                    JOIN revision ON revision.id = revision_file.revision_id
                    JOIN model ON model.id = revision.model_id
                    WHERE shard.digest = ?
                    """), arguments: [shard])
    }

    /// The names of the models of which a revision has this manifest.
    package static func names(withManifest digest: ContentDigest, _ db: Database) throws -> [String] {
        try String.fetchAll(
            db.cachedStatement(
                sql: """
                    SELECT DISTINCT model.name FROM revision JOIN model ON model.id = revision.model_id
                    WHERE revision.digest = ?
                    """), arguments: [digest])
    }

    /// Finds or inserts the row of a model.
    package static func add(_ name: String, _ db: Database) throws -> Int64 {
        if let known = try find(name, db) { return known }
        try db.execute(sql: "INSERT INTO model (name, created_at) VALUES (?, ?)", arguments: [name, StoreClock.now])
        return db.lastInsertedRowID
    }

    /// Inserts the row of a model from its record.
    package static func restore(_ record: ModelRecord, digest: ContentDigest, _ db: Database) throws -> Int64 {
        try db.execute(
            sql: "INSERT INTO model (name, last_version, record, sequence, created_at) VALUES (?, ?, ?, ?, ?)",
            arguments: [record.model, record.lastVersion, digest, record.sequence, record.createdAt])
        return db.lastInsertedRowID
    }

    /// Assigns the version of the model's next revision.
    ///
    /// - Parameter wanted: the version to use if no revision has it.
    package static func nextVersion(of model: Int64, wanted: Int?, _ db: Database) throws -> Int {
        if let wanted, try !RevisionTable.hasVersion(wanted, of: model, db) {
            try db.execute(
                sql: "UPDATE model SET last_version = max(last_version, ?) WHERE id = ?", arguments: [wanted, model])
            return wanted
        }
        return try Int.fetchValue(
            db, sql: "UPDATE model SET last_version = last_version + 1 WHERE id = ? RETURNING last_version",
            arguments: [model])
    }

    /// The digest of the model's record; nil if it has none.
    package static func record(of model: Int64, _ db: Database) throws -> ContentDigest? {
        try ContentDigest.fetchOne(db, sql: "SELECT record FROM model WHERE id = ?", arguments: [model])
    }

    /// Replaces the model's record.
    package static func setRecord(_ digest: ContentDigest, sequence: Int, of model: Int64, _ db: Database) throws {
        try db.execute(
            sql: "UPDATE model SET record = ?, sequence = ? WHERE id = ?", arguments: [digest, sequence, model])
    }

    /// Removes a model, and by cascade its revisions, refs, origins and prompts.
    ///
    /// - Returns: the digest of its record, which the caller deletes.
    package static func remove(_ model: Int64, _ db: Database) throws -> ContentDigest? {
        try ContentDigest.fetchOne(db, sql: "DELETE FROM model WHERE id = ? RETURNING record", arguments: [model])
    }

    /// The name, record and sequence of each model.
    package static func all(_ db: Database) throws
        -> [(id: Int64, name: String, record: ContentDigest?, sequence: Int)]
    {
        try Row.fetchAll(db, sql: "SELECT id, name, record, sequence FROM model")
            .map { try ($0.value("id"), $0.value("name"), $0.value("record"), $0.value("sequence")) }
    }

    /// The digests of all records.
    package static func records(_ db: Database) throws -> [ContentDigest] {
        try ContentDigest.fetchAll(db, sql: "SELECT record FROM model WHERE record IS NOT NULL ORDER BY record")
    }

    /// The digests of the records in a range.
    package static func records(in digests: ClosedRange<ContentDigest>, _ db: Database) throws -> [ContentDigest] {
        try ContentDigest.fetchAll(
            db.cachedStatement(sql: "SELECT record FROM model WHERE record BETWEEN ? AND ?"),
            arguments: [digests.lowerBound, digests.upperBound])
    }

    /// - Returns: nil if no model has this record.
    package static func model(withRecord digest: ContentDigest, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(db, sql: "SELECT id FROM model WHERE record = ?", arguments: [digest])
    }

    /// Raises the last version and the sequence to those of a newer record.
    package static func raise(to record: ModelRecord, of model: Int64, _ db: Database) throws {
        try db.execute(
            sql: """
                UPDATE model SET last_version = max(last_version, ?), sequence = max(sequence, ?) WHERE id = ?
                """, arguments: [record.lastVersion, record.sequence, model])
    }

    /// Whether a model has this record.
    package static func hasRecord(_ digest: ContentDigest, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM model WHERE record = ?)"), arguments: [digest])
    }
}
