import GRDBSQLite

extension Catalog {
    /// The version of SQLite that the process has loaded: `3.40.1`.
    package static var sqliteVersion: String { String(cString: sqlite3_libversion()) }
}
