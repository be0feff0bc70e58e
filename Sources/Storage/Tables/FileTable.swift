import GRDB
import ModelFormats

/// The table `file`: a row for each distinct content of a file, shared by all revisions that carry the same bytes. This
/// type makes every change to it.
///
/// `pending` is 1 while not all bytes have arrived, or they were not compared with the digest. A file that is not
/// pending has extents that cover each of its bytes once. A file that no revision links is removed with the last that
/// did, or by the next collection.
package enum FileTable {
    /// What a row says of the file itself.
    package struct Entry: Sendable {
        package let id: Int64
        package let digest: ContentDigest
        package let bytes: Int
        package let format: FileFormat
        package let isPending: Bool

        fileprivate init(_ row: Row) {
            id = row["id"]
            digest = row["digest"]
            bytes = row["bytes"]
            // A format of a newer version is kept as bytes.
            format = FileFormat(rawValue: row["format"]) ?? .other
            isPending = row["pending"]
        }
    }

    package static func find(_ digest: ContentDigest, _ db: Database) throws -> Entry? {
        try Row.fetchOne(
            db.cachedStatement(sql: "SELECT id, digest, bytes, format, pending FROM file WHERE digest = ?"),
            arguments: [digest]
        ).map(Entry.init)
    }

    /// - Returns: true for a file that was removed, too.
    package static func isPending(_ file: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchOne(db.cachedStatement(sql: "SELECT pending FROM file WHERE id = ?"), arguments: [file]) ?? true
    }

    /// Whether a revision links the file.
    package static func isLinked(_ file: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM revision_file WHERE file_id = ?)"), arguments: [file])
    }

    /// The files that no revision links.
    package static func unlinked(_ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db,
            sql: """
                SELECT id FROM file
                WHERE NOT EXISTS (SELECT 1 FROM revision_file WHERE revision_file.file_id = file.id)
                """)
    }

    /// Makes the row, without extents and tensors.
    package static func insert(_ content: FileContent, _ db: Database) throws -> Int64 {
        try db.execute(
            sql: "INSERT INTO file (digest, bytes, format, pending) VALUES (?, ?, ?, ?)",
            arguments: [content.digest, content.bytes, content.format.rawValue, content.isPending])
        return db.lastInsertedRowID
    }

    /// All bytes are here, and are those of the digest.
    package static func markWhole(_ file: Int64, _ db: Database) throws {
        try db.execute(sql: "UPDATE file SET pending = 0 WHERE id = ?", arguments: [file])
    }

    /// Removes a file, and by cascade its extents and tensors. Shards that nothing references then are the caller's to
    /// remove.
    package static func remove(_ file: Int64, _ db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM file WHERE id = ?").execute(arguments: [file])
    }
}
