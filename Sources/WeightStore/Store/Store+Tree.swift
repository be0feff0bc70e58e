import GRDB
import Storage

/// The store as a tree of directories, for a mount: names and files, read without holding a revision and without counting
/// an access.
extension Store {
    /// The revision that a name means now.
    ///
    /// - Parameter name: as in ``revision(_:)``.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``StorageError/ambiguous(name:matches:)``.
    package func identity(of name: String) throws -> RevisionRow {
        try catalog.read { db in try RevisionRow.find(name, db) }
    }

    /// The files of a revision, and the facts that all of them share.
    ///
    /// - Returns: nil if the revision was removed, or its last byte has arrived since: its digest then differs.
    package func tree(of revision: RevisionRow) throws -> RevisionTree? {
        try catalog.read { db in
            let row = try Row.fetchOne(
                try db.cachedStatement(
                    sql: "SELECT commit_id, created_at FROM revision WHERE id = ? AND digest = ?"),
                arguments: [revision.id, revision.digest])
            guard let row else { return nil }
            let files = try Row.mapAll(
                try db.cachedStatement(
                    sql: """
                        SELECT revision_file.path, file.bytes, file.digest, file.format, file.id
                        FROM revision_file JOIN file ON file.id = revision_file.file_id
                        WHERE revision_file.revision_id = ?
                        ORDER BY revision_file.path
                        """),
                arguments: [revision.id], FileEntry.init)
            return try RevisionTree(
                revision: revision, commit: row.value("commit_id"), created: row.value("created_at"), files: files)
        }
    }

    /// Whether a revision has a commit of a hub.
    package func isOfHub(_ revision: RevisionRow) throws -> Bool {
        try catalog.read { db in try RevisionTable.isOfHub(revision.id, db) }
    }

    /// The names of all models, sorted.
    package func modelNames() throws -> [String] {
        try catalog.read { db in try String.fetchAll(db, sql: "SELECT name FROM model ORDER BY name") }
    }

    /// Whether the store has a model of this name.
    package func hasModel(_ name: String) throws -> Bool {
        try catalog.read { db in try ModelTable.find(name, db) != nil }
    }
}

/// The files of a revision, as directories show them.
package struct RevisionTree: Sendable {
    package let revision: RevisionRow
    /// The hub's commit, or the first 40 digits of the digest.
    package let commit: String
    /// The time when the revision was stored, in seconds since 1970.
    package let created: Int
    /// Sorted by path.
    package let files: [FileEntry]
}
