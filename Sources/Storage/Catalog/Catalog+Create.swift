import Files
import GRDB
import Glibc

extension Catalog {
    /// Creates the catalog of a store that has none, with the rows that `body` inserts, in one transaction.
    ///
    /// Nothing is synced before the end, and there is no log: each page is written about once. References are not checked,
    /// which would cost a quarter of the time of the insertions: `body` inserts a row after those to which it refers, and
    /// deletes none.
    ///
    /// The file is a catalog only after the call has returned; the caller makes it in a directory of its own, and removes
    /// it after an error or a crash.
    ///
    /// - Parameters:
    ///   - directory: an existing directory without a catalog, which no other process uses.
    ///   - cacheBytes: the size of SQLite's page cache. It should hold the indexes into which values in random order are
    ///     inserted.
    /// - Throws: errors of `body`; ``FileError`` and ``StorageError`` as ``write(dryRun:durable:work:within:_:afterCommit:)``.
    package static func create(
        in directory: String, cacheBytes: Int, _ body: (Database) throws -> Void
    ) throws {
        _ = try FileSystem.requireLocal(directory)
        let path = directory + "/store.db"
        try translating(path) {
            // With the owner and the mode of a store's file.
            _ = try StoreFile.open(path, O_RDWR)
            var configuration = Configuration()
            configuration.foreignKeysEnabled = false
            configuration.prepareDatabase { db in
                // The rollback journal is in memory, and small: it holds the pages that the transaction did not add.
                try db.execute(
                    sql: """
                        PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF; PRAGMA mmap_size = 0;
                        PRAGMA cache_size = -\(cacheBytes >> 10)
                        """)
            }
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            try migrator.migrate(queue)
            try queue.inDatabase { db in
                try db.inTransaction(.immediate) {
                    try body(db)
                    return .commit
                }
                try db.execute(sql: "PRAGMA journal_mode = WAL")
            }
            try queue.close()
        }
        try FileDescriptor(path, O_RDONLY).sync()
        try FileSystem.syncDirectory(directory)
    }
}
