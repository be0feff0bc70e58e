import GRDB
import Storage

extension Store {
    /// All models, sorted by name.
    ///
    /// - Parameter pattern: lists only models whose names match this shell pattern, such as `org/*`.
    public func models(matching pattern: String? = nil) throws -> [Model] {
        try catalog.read { db in
            // Refs and pins are few: they are read once, and not joined per model.
            let refs = try RefTable.byModel(db)
            let pinned = try PinTable.models(db)
            let absent = try RevisionTable.absentBytes(db)
            // With max(version), SQLite takes the bare columns from the row of the newest version.
            return try Row.mapAll(
                db,
                sql: """
                    SELECT model.id, model.name, count(revision.version) AS revisions, max(revision.version) AS newest,
                           revision.id AS newest_id, revision.bytes, revision.tensor_count, revision.layer_count,
                           revision.created_at, model.created_at AS model_created_at
                    FROM model LEFT JOIN revision ON revision.model_id = model.id
                    WHERE ? IS NULL OR model.name GLOB ?
                    GROUP BY model.id
                    ORDER BY model.name
                    """, arguments: [pattern, pattern]
            ) { row in
                let id: Int64 = try row.value("id")
                let uses = try Row.fetchOne(
                    try db.cachedStatement(
                        sql: """
                            SELECT max(last_access) AS last, sum(access_count) AS count FROM revision WHERE model_id = ?
                            """), arguments: [id])
                guard let uses else { throw DatabaseError.damaged("a sum has no row") }
                let (version, newest): (Int?, Int64?) = try (row.value("newest"), row.value("newest_id"))
                let lacks = version == nil ? nil : newest.flatMap { absent[$0] }
                return try Model(
                    name: row.value("name"), revisions: row.value("revisions"), version: version,
                    bytes: row.value("bytes") ?? 0,
                    tensors: row.value("tensor_count") ?? 0, layers: row.value("layer_count") ?? 0,
                    refs: refs[id] ?? [],
                    pinned: pinned.contains(id), modified: row.value("created_at") ?? row.value("model_created_at"),
                    lastAccess: uses.value("last") ?? row.value("model_created_at"),
                    accesses: uses.value("count") ?? 0,
                    partial: version == nil ? nil : newest.flatMap { try RevisionTable.partialReason(of: $0, db) },
                    absent: lacks?.bytes ?? 0, damaged: lacks?.damaged ?? 0)
            }
        }
    }

    /// The revisions of a model, oldest first.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func revisions(of model: String) throws -> [RevisionInfo] {
        try catalog.read { db in try RevisionInfo.all(of: model, db) }
    }

    /// The URLs of a model's origins, the nearest first; empty for an unknown model.
    public func origins(of model: String) throws -> [String] {
        try catalog.read { db in try OriginTable.urls(ofModel: model, db) }
    }

    /// Creates a ref, or moves it to another revision.
    ///
    /// - Parameters:
    ///   - ref: the name of the ref.
    ///   - revision: its name, as in ``Store/revision(_:)``.
    /// - Returns: the revision's name, `org/name@~3`.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``StorageError/invalid(what:value:reason:)``.
    @discardableResult
    public func setRef(_ ref: String, to revision: String) throws -> String {
        let ref = try RefName.check(ref)
        return try change().commit { db in
            let row = try Self.complete(revision, db)
            try RefTable.move(ref, of: row.model, to: row.id, db)
            return (row.name, [row.model])
        }
    }

    /// Removes a ref; the revision stays.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    public func removeRef(_ ref: String, of model: String) throws {
        try change().commit { db in
            guard let id = try RefTable.remove(ref, of: model, db) else {
                throw StorageError.notFound(kind: "ref", name: "\(model)@\(ref)")
            }
            return ((), [id])
        }
    }

    /// Pins a revision: until it is unpinned, it is not evicted, ``prune(_:dryRun:work:)`` skips it, and
    /// ``remove(_:force:dryRun:work:)`` refuses to remove it without `force`.
    ///
    /// - Returns: the revision's name, `org/name@~3`.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``StorageError/invalid(what:value:reason:)``.
    @discardableResult
    public func pin(_ revision: String, note: String = "") throws -> String {
        try change().commit { db in
            let row = try Self.complete(revision, db)
            try PinTable.pin(row.id, note: note, db)
            return (row.name, [row.model])
        }
    }

    /// Removes a pin.
    ///
    /// - Returns: the revision's name, and whether it was pinned.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``; ``StorageError/ambiguous(name:matches:)`` for a name that
    ///   means several revisions.
    @discardableResult
    public func unpin(_ revision: String) throws -> (name: String, wasPinned: Bool) {
        try change().commit { db in
            let row = try RevisionRow.find(revision, isExact: true, db)
            return ((row.name, try PinTable.unpin(row.id, db)), [row.model])
        }
    }

    private static func complete(_ revision: String, _ db: Database) throws -> RevisionRow {
        let row = try RevisionRow.find(revision, db)
        guard row.version != nil else {
            throw StorageError.invalid(
                what: "revision", value: row.name,
                reason: "its import, which moves the files, is not complete; run the import again first")
        }
        return row
    }
}
