import Files
import GRDB

/// The table `examined_directory`: a row for each directory of `blobs/` that a collection has compared with the catalog.
/// This type makes every change to it, except the deletions by triggers.
///
/// **A directory whose row is in order, and which has not changed since, need not be compared again.** Three rules ensure
/// that:
///
/// * A blob that is added or deleted changes the times of its directory (POSIX: `rename`, `unlink`). Adding the row of a
///   blob needs no other trace, because the blob is renamed into the directory before the row is committed.
/// * A transaction that removes the row of a blob, or changes its state, deletes the row of the directory (triggers): a
///   process that dies before it deletes the blob leaves a directory that has not changed.
/// * `begin` inserts the row before the directory is read, and `finish` marks it as in order only if it is still there:
///   a transaction that commits during the comparison deletes it.
///
/// The rows are part of the catalog, so a catalog that is rebuilt has none, and those of a backup are as old as its other
/// rows.
package enum ExaminedDirectoryTable {
    /// A directory, and the times of its last changes.
    package struct Entry: Sendable {
        /// Its name: two hexadecimal digits.
        package let name: String
        /// Nanoseconds since 1970.
        package let modified: Int64
        /// Nanoseconds since 1970.
        package let changed: Int64

        package init(name: String, _ status: FileStatus) {
            self.name = name
            modified = status.modified
            changed = status.changed
        }

        /// Whether the directory has had no change since.
        package func isCurrent(_ status: FileStatus) -> Bool {
            status.modified == modified && status.changed == changed
        }

        fileprivate init(_ row: Row) throws {
            name = try row.value("prefix")
            modified = try row.value("modified_ns")
            changed = try row.value("changed_ns")
        }
    }

    /// The directories that were in order.
    package static func inOrder(_ db: Database) throws -> [String: Entry] {
        let entries = try Row.mapAll(
            db, sql: "SELECT prefix, modified_ns, changed_ns FROM examined_directory WHERE in_order", Entry.init)
        return Dictionary(entries.map { ($0.name, $0) }) { first, _ in first }
    }

    /// Begins a comparison of directories; their times are read before.
    package static func begin(_ directories: [Entry], _ db: Database) throws {
        for directory in directories {
            try db.cachedStatement(
                sql: """
                    INSERT OR REPLACE INTO examined_directory (prefix, modified_ns, changed_ns) VALUES (?, ?, ?)
                    """
            ).execute(arguments: [directory.name, directory.modified, directory.changed])
        }
    }

    /// Marks directories as in order, unless a transaction has changed a row of their blobs meanwhile.
    package static func finish(_ names: [String], _ db: Database) throws {
        for name in names {
            try db.cachedStatement(sql: "UPDATE examined_directory SET in_order = 1 WHERE prefix = ?")
                .execute(arguments: [name])
        }
    }
}

extension ExaminedDirectoryTable {
    private static let lastFull = "gc.full"

    /// When a collection has last compared all directories and all rows, in seconds since 1970; nil if none has.
    package static func lastFullWalk(_ db: Database) throws -> Int? { try SettingTable.get(lastFull, db) }

    package static func recordFullWalk(at moment: Int, _ db: Database) throws {
        try SettingTable.set(lastFull, moment, db)
    }
}
