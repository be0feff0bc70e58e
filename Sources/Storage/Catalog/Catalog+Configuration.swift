import GRDB
import GRDBSQLite

extension Catalog {
    static func configuration(readonly: Bool, trace: (@Sendable (String) -> Void)?) -> Configuration {
        var configuration = Configuration()
        configuration.readonly = readonly
        configuration.busyMode = .timeout(10)
        configuration.maximumReaderCount = 8
        configuration.prepareDatabase { db in
            // Set here, in a queue of the default mode, because GRDB's own WAL set-up sets synchronous=NORMAL.
            if !readonly {
                try keepLog(db)
                try db.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            }
            try db.execute(sql: "PRAGMA wal_autocheckpoint = 0; PRAGMA mmap_size = 0")
            if let trace { db.trace { event in trace(event.description) } }
        }
        return configuration
    }

    /// Keeps `-wal`, truncated, and `-shm` when the last connection closes: without them a user who can only read the store
    /// cannot read the catalog. The corresponding C function is `sqlite3_file_control`.
    private static func keepLog(_ db: Database) throws {
        var on: CInt = 1
        _ = sqlite3_file_control(db.sqliteConnection, "main", SQLITE_FCNTL_PERSIST_WAL, &on)
        try db.execute(sql: "PRAGMA journal_size_limit = 0")
    }
}
