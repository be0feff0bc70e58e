import GRDB
import ModelFormats

/// The table `file`: a row for each distinct file content, shared by all revisions that contain the same bytes. This
/// type makes every change to it.
///
/// `pending` is 1 until all bytes have arrived and have been compared with the digest. The extents of a file that is
/// not pending cover each of its bytes once.
///
/// **A file is removed after the last revision that links it** (`RemovalSlices`). A trigger counts in `unlinked` the links
/// that were removed since the file's shards were last visited. A visit of a file that is still linked updates the
/// `evictable` of its shards; that of another one removes its rows in slices, and sets `unlinked` to -1 first: from then on
/// no lookup by digest finds the file, so that no revision links a file that lacks rows.
///
/// `rule` is the number of the rule by which the file is cut (`ShardPlan`). The shards of a pending file that have not
/// arrived are those of this rule. A file that is known by its digest keeps its rule.
///
/// **A digest may have several rows**: of other formats, or with other extents. `is_hashed` is 1 if the bytes of the
/// extents were hashed in this store and have the digest. Otherwise the digest is only what a manifest from elsewhere
/// says of these extents: the row serves the revisions of that manifest, and no import or pull reuses it for bytes that
/// it has not compared (`FileContent.save`).
package enum FileTable {
    /// A row of the table.
    package struct Entry: Sendable {
        package let id: Int64
        package let digest: ContentDigest
        package let bytes: Int
        package let format: FileFormat
        package let isPending: Bool
        package let isHashed: Bool
        /// The number of the rule by which the file is cut.
        package let rule: Int

        fileprivate init(_ row: Row) throws {
            id = try row.value("id")
            digest = try row.value("digest")
            bytes = try row.size("bytes")
            // A name that is not valid is treated as a file without tensors.
            format = try FileFormat(rawValue: row.value("format")) ?? .other
            isPending = try row.value("pending")
            isHashed = try row.value("is_hashed")
            rule = try row.value("rule")
        }
    }

    private static let columns = "SELECT id, digest, bytes, format, pending, is_hashed, rule FROM file"

    /// - Returns: nil if there is no such file.
    package static func find(_ file: Int64, _ db: Database) throws -> Entry? {
        try Row.fetchOne(db.cachedStatement(sql: "\(columns) WHERE id = ?"), arguments: [file]).map(Entry.init)
    }

    /// The rows with a digest and a format, the hashed ones first.
    package static func all(_ digest: ContentDigest, format: FileFormat, _ db: Database) throws -> [Entry] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    \(columns)
                    WHERE digest = ? AND format = ? AND unlinked >= 0
                    ORDER BY is_hashed DESC, pending, id
                    """),
            arguments: [digest, format.rawValue], Entry.init)
    }

    /// The rows with a digest: first the hashed ones, and of these those with tensors.
    package static func all(_ digest: ContentDigest, _ db: Database) throws -> [Entry] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    \(columns)
                    WHERE digest = ? AND unlinked >= 0
                    ORDER BY is_hashed DESC, format = 'other', pending, id
                    """),
            arguments: [digest], Entry.init)
    }

    /// The rows with a digest that can stand for a file that is read in a format, the best one first. For a file
    /// without tensors it may be one with tensors, of a format that only the name of a file shows.
    package static func all(_ digest: ContentDigest, for format: FileFormat, _ db: Database) throws -> [Entry] {
        let entries = try all(digest, format: format, db)
        guard format == .other else { return entries }
        return try all(digest, db).filter { $0.isHashed && $0.format != .other && !$0.format.hasSignature } + entries
    }

    /// Whether bytes of the file have not arrived or have not been compared with the digest; true if the file was
    /// removed.
    package static func isPending(_ file: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchOne(db.cachedStatement(sql: "SELECT pending FROM file WHERE id = ?"), arguments: [file]) ?? true
    }

    /// Whether a revision links the file.
    package static func isLinked(_ file: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM revision_file WHERE file_id = ?)"), arguments: [file])
    }

    /// The files to visit, because a revision that linked them was removed.
    package static func unlinked(_ db: Database) throws -> [Int64] {
        try Int64.fetchAll(db, sql: "SELECT id FROM file WHERE unlinked <> 0")
    }

    /// The files to visit, and all other files that no revision links. There should be none of the latter.
    ///
    /// Reads the whole table: call it outside of a write transaction.
    package static func allUnlinked(_ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db,
            sql: """
                SELECT id FROM file
                WHERE unlinked <> 0
                      OR NOT EXISTS (SELECT 1 FROM revision_file WHERE revision_file.file_id = file.id)
                """)
    }

    /// The work of a visit to an unlinked file.
    package enum Visit: Equatable {
        /// A revision links the file: its shards may have become evictable. `unlinked` is to be passed to `finishVisit`.
        case linked(unlinked: Int)
        /// No revision links the file, and none will: its rows are to be removed, the row of `file` last.
        case remove
    }

    /// Begins or continues the visit of a file.
    ///
    /// - Returns: nil if there is nothing to do.
    package static func visit(_ file: Int64, _ db: Database) throws -> Visit? {
        guard
            let row = try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT unlinked,
                               EXISTS (SELECT 1 FROM revision_file WHERE revision_file.file_id = file.id) AS is_linked
                        FROM file
                        WHERE id = ?
                        """), arguments: [file])
        else { return nil }
        let unlinked: Int = try row.value("unlinked")
        if try row.value("is_linked") { return unlinked > 0 ? .linked(unlinked: unlinked) : nil }
        if unlinked >= 0 {
            try db.cachedStatement(sql: "UPDATE file SET unlinked = -1 WHERE id = ?").execute(arguments: [file])
        }
        return .remove
    }

    /// Ends the visit of a linked file.
    ///
    /// - Parameter unlinked: the number when the visit began. If another link was removed since, nothing changes, and the
    ///   file is to be visited again.
    package static func finishVisit(of file: Int64, unlinked: Int, _ db: Database) throws {
        try db.cachedStatement(sql: "UPDATE file SET unlinked = 0 WHERE id = ? AND unlinked = ?")
            .execute(arguments: [file, unlinked])
    }

    /// Inserts the row, without extents and tensors.
    package static func insert(_ content: FileContent, _ db: Database) throws -> Int64 {
        try db.execute(
            sql: "INSERT INTO file (digest, bytes, format, pending, is_hashed, rule) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: [
                content.digest, content.bytes, content.format.rawValue, content.isPending,
                content.isHashed && !content.isPending, content.rule,
            ])
        return db.lastInsertedRowID
    }

    /// Records that all bytes have arrived, were hashed, and match the digest.
    package static func markWhole(_ file: Int64, _ db: Database) throws {
        try db.execute(sql: "UPDATE file SET pending = 0, is_hashed = 1 WHERE id = ?", arguments: [file])
    }

    /// Records the rule of a pending file whose extents are replaced.
    package static func setRule(_ rule: Int, of file: Int64, _ db: Database) throws {
        try db.execute(sql: "UPDATE file SET rule = ? WHERE id = ?", arguments: [rule, file])
    }

    /// Whether a whole file of this size and format is known, and is cut by another rule.
    package static func isCutOtherwise(
        bytes: Int, format: FileFormat, rule: Int, _ db: Database
    ) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(
                sql: """
                    SELECT EXISTS (
                      SELECT 1 FROM file
                      WHERE bytes = ? AND format = ? AND rule <> ? AND NOT pending AND unlinked >= 0)
                    """), arguments: [bytes, format.rawValue, rule])
    }

    /// Removes a file whose extents and tensors are removed.
    package static func remove(_ file: Int64, _ db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM file WHERE id = ?").execute(arguments: [file])
    }
}
