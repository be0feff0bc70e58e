import GRDB

/// The table `model`: a row for each model that has, or had, a revision. This type makes every change to it.
///
/// **A version number is used once.** `last_version` only grows, and outlives the revision that had the number; a
/// model's row stays when its last revision is pruned.
///
/// **The record** is the digest of the blob from which a rebuild makes the model's rows again. It changes with every
/// change to the model, in the same transaction (`ModelChange`), and `sequence` grows with it.
package enum ModelTable {
    /// - Returns: nil if there is no such model.
    package static func find(_ name: String, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(db.cachedStatement(sql: "SELECT id FROM model WHERE name = ?"), arguments: [name])
    }

    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    package static func id(of name: String, _ db: Database) throws -> Int64 {
        guard let id = try find(name, db) else { throw StorageError.notFound(kind: "model", name: name) }
        return id
    }

    /// The row of a model, made if there is none.
    package static func add(_ name: String, _ db: Database) throws -> Int64 {
        if let known = try find(name, db) { return known }
        try db.execute(sql: "INSERT INTO model (name, created_at) VALUES (?, ?)", arguments: [name, StoreClock.now])
        return db.lastInsertedRowID
    }

    /// Makes the row of a model that a record describes.
    package static func restore(_ record: ModelRecord, digest: ContentDigest, _ db: Database) throws -> Int64 {
        try db.execute(
            sql: "INSERT INTO model (name, last_version, record, sequence, created_at) VALUES (?, ?, ?, ?, ?)",
            arguments: [record.model, record.lastVersion, digest, record.sequence, record.createdAt])
        return db.lastInsertedRowID
    }

    /// The number of the model's next revision.
    ///
    /// - Parameter wanted: taken if no revision has it.
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

    package static func setRecord(_ digest: ContentDigest, sequence: Int, of model: Int64, _ db: Database) throws {
        try db.execute(
            sql: "UPDATE model SET record = ?, sequence = ? WHERE id = ?", arguments: [digest, sequence, model])
    }

    /// Removes a model, and by cascade its revisions, refs, origins and prompts.
    ///
    /// - Returns: the digest of its record, which is to be swept.
    package static func remove(_ model: Int64, _ db: Database) throws -> ContentDigest? {
        try ContentDigest.fetchOne(db, sql: "DELETE FROM model WHERE id = ? RETURNING record", arguments: [model])
    }

    package static func hasRecord(_ digest: ContentDigest, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM model WHERE record = ?)"), arguments: [digest])
    }
}
