import GRDB
import Storage

extension Store {
    /// All models, by name.
    ///
    /// - Parameter pattern: only those that match, as a shell would: `org/*`.
    public func models(matching pattern: String? = nil) throws -> [Model] {
        try catalog.read { db in
            // Refs and pins are few; to join them per model would ask for each model again.
            var refs: [Int64: [String]] = [:]
            for row in try Row.fetchAll(db, sql: "SELECT model_id, name FROM ref ORDER BY model_id, name") {
                refs[row[0], default: []].append(row[1])
            }
            let pinned = Set(
                try Int64.fetchAll(
                    db,
                    sql: "SELECT revision.model_id FROM pin JOIN revision ON revision.id = pin.revision_id"))
            // max(version) lets the other columns come from the newest version's row (SQLite's bare columns).
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT model.id, model.name, count(revision.version) AS revisions, max(revision.version) AS newest,
                           revision.bytes, revision.tensor_count, revision.layer_count, revision.created_at,
                           model.created_at
                    FROM model LEFT JOIN revision ON revision.model_id = model.id
                    WHERE ? IS NULL OR model.name GLOB ?
                    GROUP BY model.id
                    ORDER BY model.name
                    """, arguments: [pattern, pattern]
            ).map { row in
                let id: Int64 = row[0]
                let uses = try Row.fetchOne(
                    try db.cachedStatement(sql: """
                        SELECT max(last_access), sum(access_count) FROM revision WHERE model_id = ?
                        """), arguments: [id])
                return Model(
                    name: row[1], revisions: row[2], version: row[3], bytes: row[4] ?? 0, tensors: row[5] ?? 0,
                    layers: row[6] ?? 0, refs: refs[id] ?? [], pinned: pinned.contains(id),
                    modified: row[7] ?? row[8], lastAccess: uses?[0] ?? row[8], accesses: uses?[1] ?? 0)
            }
        }
    }

    /// The revisions of a model, oldest first.
    public func revisions(of model: String) throws -> [RevisionInfo] {
        try catalog.read { db in try RevisionInfo.all(of: model, db) }
    }

    /// Where a model can be had again, the nearest first.
    public func origins(of model: String) throws -> [String] {
        try catalog.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT url FROM origin WHERE model_id = (SELECT id FROM model WHERE name = ?) ORDER BY position
                    """, arguments: [model])
        }
    }

    /// Lets a ref name a revision: makes it, or moves it.
    ///
    /// - Parameter revision: as in ``Store/revision(_:)``.
    /// - Returns: the revision's name.
    @discardableResult
    public func setRef(_ ref: String, to revision: String) throws -> String {
        let ref = try RefName.check(ref)
        return try change().commit { db in
            let row = try Self.complete(revision, db)
            try RevisionRow.setRef(ref, of: row.model, to: row.id, db)
            return (row.name, [row.model])
        }
    }

    /// Removes a ref; the revision stays.
    public func removeRef(_ ref: String, of model: String) throws {
        try change().commit { db in
            let id = try Int64.fetchOne(
                db,
                sql: """
                    DELETE FROM ref WHERE model_id = (SELECT id FROM model WHERE name = ?) AND name = ?
                    RETURNING model_id
                    """, arguments: [model, ref])
            guard let id else {
                throw StorageError.notFound(
                    kind: "ref", name: "\(model)@\(ref)")
            }
            return ((), [id])
        }
    }

    /// Pins a revision: `prune` passes it over and `rm` refuses it, until it is unpinned.
    ///
    /// - Returns: the revision's name.
    @discardableResult
    public func pin(_ revision: String, note: String = "") throws -> String {
        try change().commit { db in
            let row = try Self.complete(revision, db)
            try db.execute(
                sql: """
                    INSERT INTO pin (revision_id, note, created_at) VALUES (?, ?, ?)
                    ON CONFLICT (revision_id) DO UPDATE SET note = excluded.note
                    """, arguments: [row.id, note, StoreClock.now])
            return (row.name, [row.model])
        }
    }

    /// Takes a pin away.
    ///
    /// - Returns: the revision's name, and whether it was pinned.
    @discardableResult
    public func unpin(_ revision: String) throws -> (name: String, wasPinned: Bool) {
        try change().commit { db in
            let row = try RevisionRow.find(revision, db)
            try db.execute(sql: "DELETE FROM pin WHERE revision_id = ?", arguments: [row.id])
            return ((row.name, db.changesCount > 0), [row.model])
        }
    }

    private static func complete(_ revision: String, _ db: Database) throws -> RevisionRow {
        let row = try RevisionRow.find(revision, db)
        guard row.version != nil else {
            throw StorageError.invalid(
                what: "complete revision", value: row.name, reason: "its import, which moves the files, is not complete")
        }
        return row
    }
}
