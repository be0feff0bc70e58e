import Files
import GRDB

/// The tables `move` and `move_file`: the source files that an `import --move` may still remove. This type makes every
/// change to them.
///
/// **A source file is removed only while its row says so.** The rows of a move are inserted in the transaction that
/// commits the revision with its files: a row with a digest is a file that this revision holds, a row without one a file
/// that the move has not stored yet. After the commit, `SourceRemover` compares each file with its row, unlinks it, and
/// syncs its directory; only then its row is deleted. A process that dies in between, or a power cut, leaves rows from
/// which the next import of the source completes the removal.
///
/// **While a move has rows, its source is not what it was**: it lacks files that the revision holds. An import of the
/// source adds these (`InterruptedMove`), so leftovers do not become a revision of their own.
///
/// A move is deleted with its last file, and with its revision.
package enum MoveTable {
    /// A file that was not yet removed.
    package struct File: Sendable {
        /// The path on disk.
        package let location: String
        package let inode: Int64
        package let bytes: Int
        package let modified: Int64
        package let changed: Int64
        /// The digest by which the revision holds the bytes; nil while it does not hold them.
        package let digest: ContentDigest?

        /// - Parameters:
        ///   - status: of the file when it was read; of a link, that of the link.
        ///   - isSettled: whether a later change would have changed the times, too. If not, the file is hashed before it
        ///     is removed.
        ///   - digest: nil if the revision does not hold the file.
        package init(location: String, _ status: FileStatus, isSettled: Bool = true, digest: ContentDigest?) {
            self.init(
                location: location, inode: status.inode, bytes: status.bytes, modified: status.modified,
                changed: isSettled ? status.changed : 0, digest: digest)
        }

        fileprivate init(_ row: Row) throws {
            location = try row.value("location")
            inode = try row.value("inode")
            bytes = try row.size("bytes")
            modified = try row.value("modified_ns")
            changed = try row.value("changed_ns")
            digest = try row.value("digest")
        }

        /// This file without its digest: the revision does not hold its present bytes.
        ///
        /// - Parameter status: the present state of the file; nil keeps the recorded one.
        package func unstored(_ status: FileStatus?) -> File {
            File(
                location: location, inode: status?.inode ?? inode, bytes: status?.bytes ?? bytes,
                modified: status?.modified ?? modified, changed: status?.changed ?? changed, digest: nil)
        }

        private init(
            location: String, inode: Int64, bytes: Int, modified: Int64, changed: Int64, digest: ContentDigest?
        ) {
            self.location = location
            self.inode = inode
            self.bytes = bytes
            self.modified = modified
            self.changed = changed
            self.digest = digest
        }

        /// Whether `status` is the recorded state.
        package func isUnchanged(_ status: FileStatus) -> Bool {
            isSameFile(status) && modified == status.modified && changed == status.changed
        }

        /// Whether `status` is that of the same inode with the same size: only its times may differ.
        package func isSameFile(_ status: FileStatus) -> Bool { inode == status.inode && bytes == status.bytes }
    }

    /// A move with files that were not yet removed.
    package struct Move: Sendable {
        package let id: Int64
        /// The row id of the revision.
        package let revision: Int64
        /// `org/name`.
        package let model: String
        /// The directory, file or snapshot.
        package let source: String
        package let files: [File]
    }

    /// All moves with files that were not yet removed.
    package static func all(_ db: Database) throws -> [Move] { try all(where: "TRUE", [], db) }

    /// The moves of a source, and of the sources in it, such as the snapshots of a cache.
    ///
    /// - Parameter source: with links resolved.
    package static func all(in source: String, _ db: Database) throws -> [Move] {
        // "0" is the character after "/".
        try all(
            where: "move.source = ? OR move.source > ? AND move.source < ?", [source, source + "/", source + "0"], db)
    }

    /// The moves of the directories that contain a source.
    ///
    /// - Parameter source: with links resolved.
    package static func all(around source: String, _ db: Database) throws -> [Move] {
        var moves: [Move] = []
        var path = source
        while case let parent = FileSystem.parent(of: path), parent != path {
            moves += try all(where: "move.source = ?", [parent], db)
            path = parent
        }
        return moves
    }

    private static func all(
        where condition: String, _ arguments: StatementArguments, _ db: Database
    ) throws -> [Move] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT move.id, move.revision_id, model.name AS model, move.source
                    FROM move
                    JOIN revision ON revision.id = move.revision_id
                    JOIN model ON model.id = revision.model_id
                    WHERE \(condition)
                    ORDER BY move.id
                    """),
            arguments: arguments
        ) { row in
            let id: Int64 = try row.value("id")
            return try Move(
                id: id, revision: row.value("revision_id"), model: row.value("model"), source: row.value("source"),
                files: files(of: id, db))
        }
    }

    private static func files(of move: Int64, _ db: Database) throws -> [File] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT location, inode, bytes, modified_ns, changed_ns, digest FROM move_file
                    WHERE move_id = ?
                    ORDER BY location
                    """),
            arguments: [move], File.init)
    }

    /// The revision that a move is attached to; nil if there is no such move.
    package static func revision(of move: Int64, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT revision_id FROM move WHERE id = ?"), arguments: [move])
    }

    /// Finds or inserts the move of a source into a model, and attaches it to `revision`.
    package static func add(source: String, revision: Int64, _ db: Database) throws -> Int64 {
        let known = try Int64.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT move.id
                    FROM move JOIN revision ON revision.id = move.revision_id
                    WHERE move.source = ? AND revision.model_id = (SELECT model_id FROM revision WHERE id = ?)
                    """), arguments: [source, revision])
        if let known {
            try attach(known, to: revision, db)
            return known
        }
        try db.execute(sql: "INSERT INTO move (revision_id, source) VALUES (?, ?)", arguments: [revision, source])
        return db.lastInsertedRowID
    }

    /// Records that another revision holds the files of a move.
    package static func attach(_ move: Int64, to revision: Int64, _ db: Database) throws {
        try db.execute(sql: "UPDATE move SET revision_id = ? WHERE id = ?", arguments: [revision, move])
    }

    /// Attaches the moves of one revision to another one.
    package static func attachAll(of old: Int64, to revision: Int64, _ db: Database) throws {
        try db.execute(
            sql: "UPDATE OR REPLACE move SET revision_id = ? WHERE revision_id = ?", arguments: [revision, old])
    }

    /// Inserts the row of a file, or replaces it.
    package static func save(_ file: File, of move: Int64, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO move_file (move_id, location, inode, bytes, modified_ns, changed_ns, digest)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            move, file.location, file.inode, file.bytes, file.modified, file.changed, file.digest,
        ])
    }

    /// Deletes the rows of files that the move has not stored, because they are part of no move any more.
    package static func removeUnstored(of move: Int64, _ db: Database) throws {
        try db.execute(sql: "DELETE FROM move_file WHERE move_id = ? AND digest IS NULL", arguments: [move])
    }

    /// Deletes the rows of files whose removal is durable, and the move with its last file.
    package static func remove(_ locations: [String], of move: Int64, _ db: Database) throws {
        let delete = try db.cachedStatement(sql: "DELETE FROM move_file WHERE move_id = ? AND location = ?")
        for location in locations { try delete.execute(arguments: [move, location]) }
        try db.execute(
            sql: """
                DELETE FROM move
                WHERE id = :move AND NOT EXISTS (SELECT 1 FROM move_file WHERE move_id = :move)
                """, arguments: ["move": move])
    }

    /// Deletes a move: its source is not the one that was moved.
    package static func remove(_ move: Int64, _ db: Database) throws {
        try db.execute(sql: "DELETE FROM move WHERE id = ?", arguments: [move])
    }
}
