import Files
import Foundation
import GRDB
import Glibc
import Logging
import Synchronization

/// The index of a store: `store.db`, SQLite in WAL mode, and the one place that opens connections to it.
///
/// **Reading** uses a pool of read-only connections; opening a store and reading from it writes nothing.
/// **Writing** uses one connection, opened at the first write. Each write is one IMMEDIATE transaction under
/// `write.lock` (why: `WriteLock`). Automatic checkpoints are off in every connection; a large log is checkpointed
/// with TRUNCATE after a commit, still under the lock, and the connection is closed under it too, because the last
/// one to close checkpoints.
///
/// **Durability**: `synchronous=FULL`. After "row deleted, committed, blob unlinked", a power cut must not bring the
/// row back without its blob. Only access counts are committed without waiting for the disk.
///
/// **Schema**: the numbered files of `Migrations/`, applied under the lock at the first open, each in one transaction: if
/// the process dies in between, the next open resumes. They run only while no process of an older program is alive
/// (`Catalog+Migration.swift`). A catalog with a migration that this build does not know is refused, untouched.
///
/// `mmap_size` is 0: an I/O error is then an error code, not a SIGBUS. Nothing here holds a snapshot or a cursor
/// after the call returns, so the log can always be reset.
package final class Catalog: Sendable {
    package let path: String
    private let readers: DatabasePool
    private let writeLock: WriteLock
    private let writer = Mutex<DatabaseQueue?>(nil)
    private let wroteDurably = Atomic<Bool>(false)
    private let trace: (@Sendable (String) -> Void)?

    /// A log beyond this many bytes is checkpointed after the commit.
    static let checkpointBytes = 16 << 20
    /// With less space than this, an I/O error of SQLite is taken for a full disk.
    static let leastFreeBytes = 128 << 10

    /// - Parameters:
    ///   - leases: where this process holds its lease already; nil for a catalog that no other process knows.
    ///   - logger: receives a notice of what takes long: the migration of a catalog of many shards.
    ///   - trace: receives every statement that runs, for tests of query plans.
    /// - Throws: ``StorageError/newerSchema(path:)``; ``StorageError/olderProcesses(path:processes:)`` if the catalog
    ///   must be migrated and processes of an older program are alive.
    package init(
        directory: String, leases: LeaseDirectory?, logger: Logger? = nil, trace: (@Sendable (String) -> Void)? = nil
    ) throws {
        try FileSystem.refuseNetwork(directory)
        let path = directory + "/store.db"
        self.path = path
        self.trace = trace
        writeLock = try WriteLock(directory + "/write.lock")
        // A journal is what a process left that was killed while it made the catalog, before there was a log: readers
        // may not roll it back.
        if !FileSystem.exists(path) || FileSystem.exists(path + "-journal") {
            try Self.migrate(path, under: writeLock, leases, logger)
        }
        readers = try Self.translating(path) {
            try DatabasePool(path: path, configuration: Self.configuration(readonly: true, trace: trace))
        }
        let state = try read { db in
            try (superseded: Self.migrator.hasBeenSuperseded(db), complete: Self.migrator.hasCompletedMigrations(db))
        }
        if state.superseded { throw StorageError.newerSchema(path: path) }
        if !state.complete {
            logger?.notice("\(path) was made by an older version; it is brought up to date, once")
            try Self.migrate(path, under: writeLock, leases, logger)
        }
    }

    deinit {
        // Nothing to report to: what was committed is safe, and the next process checkpoints what is left.
        // The readers first, since SQLite checkpoints only when the last connection closes, and only if it can write.
        // A process that read, and wrote no more than its counts, spares itself that.
        if wroteDurably.load(ordering: .relaxed) { try? readers.close() }
        writer.withLock { queue in
            guard queue != nil else { return }
            try? writeLock.withLock { try queue?.close() }
        }
    }

    /// Moves all of the log into `store.db`, durably, so that the one file holds the whole catalog.
    ///
    /// - Throws: ``StorageError/busy(what:holder:)`` if another process reads the catalog.
    package func fold() throws {
        try Self.translating(path) {
            try writerQueue().inDatabase { db in
                try writeLock.withLock { try Self.checkpoint(db) }
            }
        }
        if let log = try FileSystem.status(path + "-wal"), log.bytes > 0 {
            throw StorageError.busy(what: path, holder: "another reader")
        }
    }

    package func read<Result>(_ body: (Database) throws -> Result) throws -> Result {
        try Self.translating(path) { try readers.read(body) }
    }

    /// Runs `body` in one IMMEDIATE transaction under the write lock.
    ///
    /// - Parameters:
    ///   - dryRun: roll back in the end, and leave `afterCommit` out.
    ///   - durable: whether to wait until the disk has it. Only what may be lost goes without.
    ///   - patience: how long to wait for the write lock; nil means as long as it takes.
    ///   - afterCommit: runs after the commit, still under the lock.
    package func write<Result>(
        dryRun: Bool = false,
        durable: Bool = true,
        within patience: Duration? = nil,
        _ body: (Database) throws -> Result,
        afterCommit: (Database, Result) throws -> Void = { _, _ in }
    ) throws -> Result {
        if durable { wroteDurably.store(true, ordering: .relaxed) }
        return try Self.translating(path) {
            try writerQueue(within: patience).inDatabase { db in
                try writeLock.withLock(within: patience) {
                    if !durable { try db.execute(sql: "PRAGMA synchronous = NORMAL") }
                    defer {
                        // Can't fail: it sets a flag of this connection.
                        if !durable { try? db.execute(sql: "PRAGMA synchronous = FULL") }
                    }
                    var result: Result?
                    do {
                        try db.inTransaction(.immediate) {
                            result = try body(db)
                            return dryRun ? .rollback : .commit
                        }
                    } catch let error as DatabaseError where error.resultCode == .SQLITE_IOERR {
                        // If the log could not be synced, the commit that failed stands in it, whole, and the next
                        // recovery would take it for done. On a disk that fails again, there is no more to be done.
                        try? Self.checkpoint(db)
                        throw error
                    }
                    if !dryRun { try afterCommit(db, result!) }
                    try Self.checkpointIfLarge(path, db)
                    return result!
                }
            }
        }
    }

    /// The page of SQLite's facts that a test asserts: names of pragmas and their values on the writer connection.
    func writerPragmas(_ names: [String]) throws -> [String: String] {
        try writerQueue().inDatabase { db in
            try Dictionary(
                uniqueKeysWithValues: names.map { name in
                    (name, try String.fetchOne(db, sql: "PRAGMA \(name)") ?? "")
                })
        }
    }

    static func checkpointIfLarge(_ path: String, _ db: Database) throws {
        if let log = try FileSystem.status(path + "-wal"), log.bytes > checkpointBytes { try checkpoint(db) }
    }

    /// A reader may keep the log from being reset: then it is tried again after the next commit, without waiting here.
    private static func checkpoint(_ db: Database) throws {
        try db.execute(sql: "PRAGMA busy_timeout = 0")
        defer {
            // Can't fail: it sets a number of this connection.
            try? db.execute(sql: "PRAGMA busy_timeout = 10000")
        }
        _ = try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)")
    }

    private func writerQueue(within patience: Duration? = nil) throws -> DatabaseQueue {
        try writer.withLock { queue in
            if let queue { return queue }
            let opened = try writeLock.withLock(within: patience) {
                try DatabaseQueue(path: path, configuration: Self.configuration(readonly: false, trace: trace))
            }
            queue = opened
            return opened
        }
    }

    static func configuration(readonly: Bool, trace: (@Sendable (String) -> Void)?) -> Configuration {
        var configuration = Configuration()
        configuration.readonly = readonly
        configuration.busyMode = .timeout(10)
        configuration.maximumReaderCount = 8
        configuration.prepareDatabase { db in
            // GRDB would set synchronous=NORMAL in its own WAL set-up: hence a queue in default mode, and this.
            if !readonly {
                try db.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
            }
            try db.execute(sql: "PRAGMA wal_autocheckpoint = 0; PRAGMA mmap_size = 0")
            if let trace { db.trace { event in trace(event.description) } }
        }
        return configuration
    }

    /// Turns SQLite's codes into the errors that callers treat differently.
    static func translating<Result>(_ path: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as DatabaseError {
            switch error.resultCode {
            case .SQLITE_IOERR, .SQLITE_CANTOPEN:
                // Without space SQLite can't make its log or the memory that its processes share, and says only this.
                let free = try FileSystem.freeBytes(FileSystem.parent(of: path))
                if error.extendedResultCode == .SQLITE_IOERR_SHMSIZE || free < Self.leastFreeBytes {
                    throw FileError.diskFull(path: path)
                }
                if error.resultCode == .SQLITE_IOERR { throw failed(error, path) }
                throw StorageError.catalogDamaged(path: path, message: error.message ?? error.description)
            case .SQLITE_CORRUPT, .SQLITE_NOTADB:
                throw StorageError.catalogDamaged(path: path, message: error.message ?? error.description)
            case .SQLITE_FULL:
                throw FileError.diskFull(path: path)
            default:
                throw failed(error, path)
            }
        }
    }

    private static func failed(_ error: DatabaseError, _ path: String) -> StorageError {
        .catalogFailed(
            path: path, code: Int(error.extendedResultCode.rawValue), message: error.message ?? error.description)
    }
}

extension ContentDigest: DatabaseValueConvertible {
    public var databaseValue: DatabaseValue { Data(bytes).databaseValue }

    public static func fromDatabaseValue(_ value: DatabaseValue) -> ContentDigest? {
        guard case .blob(let data) = value.storage else { return nil }
        return ContentDigest(data)
    }
}
