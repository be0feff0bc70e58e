import GRDB

/// The table `ref`: mutable names for revisions, unique in a model. This type makes every change to it.
///
/// A ref names a revision of its own model, and is removed with that revision. Changing a ref also changes the model's
/// record, so it runs in a `ModelChange`.
package enum RefTable {
    /// Creates or moves a ref, and appends an event if it named another revision, or none.
    package static func move(_ name: String, of model: Int64, to revision: Int64, _ db: Database) throws {
        let before = try revisions(of: model, db)[name]
        try set(name, of: model, to: revision, db)
        guard let after = try revisions(of: model, db)[name], after != before else { return }
        try EventTable.append(
            StoreEvent(
                .refMoved, "\(RevisionName.model(of: after))@\(name)",
                detail: "\(before.map { "\($0) → " } ?? "")\(after)"),
            db)
    }

    /// Creates or moves a ref.
    package static func set(_ name: String, of model: Int64, to revision: Int64, _ db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO ref (model_id, name, revision_id, updated_at) VALUES (?, ?, ?, ?)
                ON CONFLICT (model_id, name) DO UPDATE
                SET revision_id = excluded.revision_id, updated_at = excluded.updated_at
                """, arguments: [model, name, revision, StoreClock.now])
    }

    /// Removes a ref, and appends an event.
    ///
    /// - Returns: the model's id; nil if there is no such ref.
    package static func remove(_ name: String, of model: String, _ db: Database) throws -> Int64? {
        let id = try Int64.fetchOne(
            db,
            sql: """
                DELETE FROM ref WHERE model_id = (SELECT id FROM model WHERE name = ?) AND name = ?
                RETURNING model_id
                """, arguments: [model, name])
        if id != nil { try EventTable.append(StoreEvent(.refMoved, "\(model)@\(name)", detail: "removed"), db) }
        return id
    }

    /// The time when a ref was set, in seconds since 1970; nil if there is no such ref.
    package static func updatedAt(_ name: String, of model: String, _ db: Database) throws -> Int? {
        try Int.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT updated_at FROM ref WHERE model_id = (SELECT id FROM model WHERE name = ?) AND name = ?
                    """), arguments: [model, name])
    }

    /// The refs that name a revision.
    package static func names(of revision: Int64, _ db: Database) throws -> [String] {
        try String.fetchAll(db, sql: "SELECT name FROM ref WHERE revision_id = ?", arguments: [revision])
    }

    /// The refs of a model, by their revision's id.
    package static func byRevision(of model: Int64, _ db: Database) throws -> [Int64: [String]] {
        try Row.fetchAll(
            db, sql: "SELECT revision_id, name FROM ref WHERE model_id = ? ORDER BY name", arguments: [model]
        ).reduce(into: [:]) { try $0[$1.value("revision_id"), default: []].append($1.value("name")) }
    }

    /// All refs, by their model's id.
    package static func byModel(_ db: Database) throws -> [Int64: [String]] {
        try Row.fetchAll(db, sql: "SELECT model_id, name FROM ref ORDER BY model_id, name")
            .reduce(into: [:]) { try $0[$1.value("model_id"), default: []].append($1.value("name")) }
    }

    /// The refs of a model with the names of their revisions: `["main": "org/name@~1"]`.
    package static func revisions(of model: Int64, _ db: Database) throws -> [String: String] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT ref.name, model.name AS model, revision.version, revision.digest
                FROM ref JOIN revision ON revision.id = ref.revision_id JOIN model ON model.id = ref.model_id
                WHERE ref.model_id = ?
                """, arguments: [model]
        ).reduce(into: [:]) { refs, row in
            refs[try row.value("name") as String] = try RevisionName.text(
                row.value("model"), version: row.value("version"), digest: row.value("digest"))
        }
    }

    /// The refs of a model with the digests of their revisions.
    package static func targets(of model: Int64, _ db: Database) throws -> [String: ContentDigest] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT ref.name, revision.digest FROM ref JOIN revision ON revision.id = ref.revision_id
                WHERE ref.model_id = ?
                """, arguments: [model]
        ).reduce(into: [:]) { try $0[$1.value("name") as String] = $1.value("digest") }
    }
}
