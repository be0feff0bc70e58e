import Files
import GRDB
import Glibc
import Logging
import Support
import Synchronization

/// The index of a store: `store.db`, SQLite in WAL mode, and the one place that opens connections to it.
///
/// **Reading** uses a pool of read-only connections; opening a store and reading from it writes nothing. **Writing**
/// uses one connection, opened at the first write. Each write is one IMMEDIATE transaction under `write.lock` (see
/// `WriteLock` for the reason). Automatic checkpoints are off in every connection. A large log is checkpointed with
/// TRUNCATE after a commit, still under the lock. The connection is closed under the lock, too, because the last
/// connection that closes makes a checkpoint.
///
/// **Durability**: `synchronous=FULL`. After "row deleted, committed, blob unlinked", a power cut must not restore the
/// row without its blob. Only access counts are committed without waiting for the disk.
///
/// **Age**: each durable commit that changes rows advances the counter of `CommitCounter`, and notes it in `write.lock`
/// under the lock. A catalog whose counter is below the noted one is older than the blobs (`isOlder`).
///
/// **Schema**: the numbered files of `Migrations/`, applied under the lock at the first open, each in one transaction:
/// if the process dies in between, the next open resumes. They run only while no process of an older program is alive
/// (`Catalog+Migration.swift`). A catalog with a migration that this build does not know is rejected and not changed.
///
/// `mmap_size` is 0, so that an I/O error is an error code and not a SIGBUS. No call keeps a snapshot or a cursor after
/// it returns, so the log can always be reset.
package final class Catalog: Sendable {
    package let path: String
    private let readers: DatabasePool
    /// Whether a read uses the first connection of `readers`, which is read-only, too.
    private let isFirstReading = Atomic<Bool>(false)
    /// Nil if the store can only be read.
    private let writeLock: WriteLock?
    private let access: StoreAccess
    private let readable: ReadableCatalog
    private let wait: LockWait
    /// What this process counts until `AccessLog` adds it to the catalog.
    package let activity = ActivityCounters()
    private let writer = Mutex<DatabaseQueue?>(nil)
    private let wroteDurably = Atomic<Bool>(false)
    private let trace: (@Sendable (String) -> Void)?
    private let cacheBytes: Int

    /// The size of the log, in bytes, above which it is checkpointed after a commit; less on a disk with little free space.
    package static let checkpointBytes = 16 << 20
    /// The size of the log, in bytes, above which a process that wrote only access counts checkpoints it at its end. Less
    /// makes more processes wait for a sync, more makes each of them read more.
    private static let closingLogBytes = 512 << 10
    /// The free space, in bytes, below which an I/O error of SQLite is reported as a full disk.
    static let leastFreeBytes = 128 << 10
    /// The size of SQLite's page cache in the connection that writes, in bytes. Pages are allocated as they are read.
    package static let cacheBytes = 16 << 20

    /// Opens the catalog of a store, creating or migrating it if necessary.
    ///
    /// - Parameters:
    ///   - access: what this process may do with the store.
    ///   - leases: the directory in which this process holds its lease; nil for a catalog that no other process uses.
    ///   - wait: the waits for the write lock.
    ///   - logger: receives a notice of a migration, which takes long if there are many shards.
    ///   - cacheBytes: the size of the page cache of the connection that writes.
    ///   - trace: receives every statement that runs, for tests of query plans.
    /// - Throws: ``StorageError/newerSchema(path:)``; ``StorageError/olderProcesses(path:processes:)`` if the catalog
    ///   must be migrated and processes of an older program are alive.
    package init(
        directory: String, _ access: StoreAccess = .readWrite, leases: LeaseDirectory?, wait: LockWait = LockWait(),
        logger: Logger? = nil, cacheBytes: Int = Catalog.cacheBytes, trace: (@Sendable (String) -> Void)? = nil
    ) throws {
        // On a read-only mount no memory has to be shared with a writer.
        if try !FileSystem.isReadOnlyMount(directory), let name = try FileSystem.requireLocal(directory) {
            logger?.warning(
                """
                \(directory): on the FUSE file system "\(name)", of which it is not known whether SQLite's write-ahead \
                log works. If it shows the files of another machine, put the store on a local disk.
                """)
        }
        let path = directory + "/store.db"
        self.path = path
        self.trace = trace
        self.cacheBytes = cacheBytes
        self.wait = wait
        self.access = access
        let lock = directory + "/write.lock"
        let writeLock = access.isReadOnly ? nil : try WriteLock(lock)
        self.writeLock = writeLock
        // A rollback journal remains if a process was killed while it created the catalog, before WAL mode was on.
        // Read-only connections cannot roll it back.
        if let writeLock, !FileSystem.exists(path) || FileSystem.exists(path + "-journal") {
            try Self.migrate(path, under: writeLock, wait, leases, logger)
        }
        let readable = try ReadableCatalog(path, access, lock: lock, wait)
        self.readable = readable
        readers = try Self.translating(path) {
            try DatabasePool(path: readable.name, configuration: Self.configuration(readonly: true, trace: trace))
        }
        let state = try read { db in
            // Begins the snapshot. Otherwise another process may make the table of migrations between the failed read of it
            // and GRDB's check that it does not exist, and the opening would fail.
            _ = try Row.fetchOne(db, sql: "PRAGMA schema_version")
            return try (
                superseded: Self.migrator.hasBeenSuperseded(db), complete: Self.migrator.hasCompletedMigrations(db)
            )
        }
        if state.superseded { throw StorageError.newerSchema(path: path) }
        if !state.complete {
            guard let writeLock else {
                throw StorageError.readOnly(
                    reason: "\(path): made by an older version of weightstore, and not migrated")
            }
            logger?.notice("\(path): made by an older version; migrating it once")
            try Self.migrate(path, under: writeLock, wait, leases, logger)
            readers.writeWithoutTransaction { $0.clearSchemaCache() }
        }
    }

    deinit {
        // Errors are ignored: committed data is durable, and the next process makes the checkpoint. The readers close
        // first, because SQLite checkpoints only when the last connection closes, and only if it can write. A process
        // that wrote only access counts skips this, unless the log is long: the next process reads all of it.
        let log = (try? FileSystem.status(path + "-wal"))?.bytes ?? 0
        if wroteDurably.load(ordering: .relaxed) || log > Self.closingLogBytes { try? readers.close() }
        writer.withLock { queue in
            guard let queue, let writeLock else { return }
            do {
                try writeLock.withLock(wait.within(.seconds(2))) { try queue.close() }
            } catch {
                // Closing may make a checkpoint, which requires the lock: the connection stays open until the process
                // ends.
                _ = Unmanaged.passRetained(queue)
            }
        }
    }

    /// Checkpoints the whole log into `store.db`, durably, so that this file alone is the whole catalog.
    ///
    /// - Throws: ``StorageError/busy(what:holder:)`` if another process reads the catalog.
    package func checkpoint() throws {
        let writeLock = try requireWriteLock()
        try Self.translating(path) {
            try writerQueue(wait).inDatabase { db in
                try writeLock.withLock(wait) { try Self.checkpoint(db) }
            }
        }
        if let log = try FileSystem.status(path + "-wal"), log.bytes > 0 {
            throw StorageError.busy(what: path, holder: "another reader")
        }
    }

    /// Runs `body` in one transaction on a read-only connection.
    ///
    /// Reads that follow each other use the connection that the pool has at once. Each further one parses the schema again,
    /// so it is made for reads at the same time only. A
    /// schema does not change while a connection is open: a migration waits until no process of another version is alive.
    package func read<Result>(_ body: (Database) throws -> Result) throws -> Result {
        try Self.translating(path) {
            if isFirstReading.exchange(true, ordering: .acquiring) { return try readers.read(body) }
            defer { isFirstReading.store(false, ordering: .releasing) }
            return try readers.writeWithoutTransaction { db in
                var result: Result?
                try db.inTransaction(.deferred) {
                    result = try body(db)
                    return .commit
                }
                return result!
            }
        }
    }

    /// Runs `body` in one IMMEDIATE transaction under the write lock.
    ///
    /// - Parameters:
    ///   - dryRun: roll back at the end, and do not run `afterCommit`.
    ///   - durable: whether to wait for the disk. False only for data that may be lost.
    ///   - work: cancelling it ends the wait for the write lock.
    ///   - timeout: the longest wait for the write lock; nil means no limit.
    ///   - afterCommit: runs after the commit, still under the lock.
    package func write<Result>(
        dryRun: Bool = false,
        durable: Bool = true,
        work: Work? = nil,
        within timeout: Duration? = nil,
        _ body: (Database) throws -> Result,
        afterCommit: (Database, Result) throws -> Void = { _, _ in }
    ) throws -> Result {
        let writeLock = try requireWriteLock()
        if durable { wroteDurably.store(true, ordering: .relaxed) }
        let wait = wait.until(work).within(timeout)
        let start = ContinuousClock.now
        return try Self.translating(path) {
            try writerQueue(wait).inDatabase { db in
                try writeLock.withLock(wait) {
                    // The additions of the counts themselves are not counted, or they would never end.
                    if durable { activity.addWrite(waited: ContinuousClock.now - start) }
                    if !durable { try db.execute(sql: "PRAGMA synchronous = NORMAL") }
                    defer {
                        // Cannot fail: it sets a flag of this connection.
                        if !durable { try? db.execute(sql: "PRAGMA synchronous = FULL") }
                    }
                    var result: Result?
                    var commits: Int?
                    do {
                        try db.inTransaction(.immediate) {
                            let changes = db.totalChangesCount
                            result = try body(db)
                            if dryRun { return .rollback }
                            if durable, db.totalChangesCount != changes {
                                commits = try CommitCounter.advance(notBelow: writeLock.commits(), db)
                            }
                            return .commit
                        }
                    } catch let error as DatabaseError where error.resultCode == .SQLITE_IOERR {
                        // If the sync of the log failed, the log contains the whole failed commit, and the next
                        // recovery would apply it. A checkpoint resets the log; if it fails, too, nothing more can be
                        // done.
                        try? Self.checkpoint(db)
                        throw error
                    }
                    // If this fails, the noted counter lags behind the catalog's, which is harmless.
                    if let commits { try? writeLock.note(commits) }
                    if !dryRun { try afterCommit(db, result!) }
                    try Self.checkpointIfLarge(path, db)
                    return result!
                }
            }
        }
    }

    /// Whether commits are missing from the catalog that were made to the store: the counter noted in `write.lock` is
    /// higher than the catalog's. Call it only in `write`: outside of the lock another process may be between its
    /// commit and its note.
    package func isOlder(_ db: Database) throws -> Bool {
        try CommitCounter.value(db) < requireWriteLock().commits()
    }

    /// The records that an interrupted change has noted in `write.lock`. Call it only in `write`.
    func pendingRecords() throws -> [ContentDigest] { try requireWriteLock().pendingRecords() }

    /// Notes records in `write.lock`; see `WriteLock`. Call it only in `write`.
    package func notePending(_ records: [ContentDigest]) throws { try requireWriteLock().notePending(records) }

    /// Accepts a catalog that is older than the blobs as the current one. Call it only in `write`, durably.
    ///
    /// Later checks may have found that an origin no longer holds a revision, so no eviction relies on those that the
    /// catalog has.
    package func acceptAsCurrent(_ db: Database) throws {
        if try isOlder(db) { try OriginTable.forgetChecks(db) }
        try CommitCounter.raise(to: requireWriteLock().commits(), db)
    }

    /// Writes a consistent copy of the catalog to a file, durably, while other processes read and write.
    ///
    /// - Parameter target: replaced if it exists.
    package func backUp(to target: String) throws {
        let partial = "\(target).\(String(UInt64.random(in: 0 ... .max), radix: 36)).partial"
        defer {
            // Left by a failed copy; a successful one has renamed the first of them.
            for suffix in ["", "-wal", "-shm", "-journal"] { _ = try? FileSystem.remove(partial + suffix) }
        }
        try Self.translating(path) {
            let copy = try DatabaseQueue(path: partial)
            // In one step, so that the copy is one snapshot.
            try readers.backup(to: copy)
            try copy.close()
        }
        try FileDescriptor(partial, O_RDONLY).sync()
        try FileSystem.rename(partial, to: target)
        try FileSystem.syncDirectory(FileSystem.parent(of: target))
    }

    /// The values of pragmas on the writer connection, for tests.
    func writerPragmas(_ names: [String]) throws -> [String: String] {
        try writerQueue(wait).inDatabase { db in
            try Dictionary(
                uniqueKeysWithValues: names.map { name in
                    (name, try String.fetchOne(db, sql: "PRAGMA \(name)") ?? "")
                })
        }
    }

    static func checkpointIfLarge(_ path: String, _ db: Database) throws {
        guard let log = try FileSystem.status(path + "-wal"), log.bytes > 0 else { return }
        let free = try FileSystem.freeBytes(FileSystem.parent(of: path))
        if log.bytes > min(checkpointBytes, free / 4) { try checkpoint(db) }
    }

    /// Checkpoints without waiting. If a reader keeps the log from being reset, the next commit tries again.
    private static func checkpoint(_ db: Database) throws {
        try db.execute(sql: "PRAGMA busy_timeout = 0")
        defer {
            // Cannot fail: it sets a number of this connection.
            try? db.execute(sql: "PRAGMA busy_timeout = 10000")
        }
        _ = try Row.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)")
    }

    /// The database that a read-only connection of other code opens: a path, or a URI.
    package var readableName: String { readable.name }

    /// Removes the copy of a catalog that can only be read, before the process is ended. Open connections stay usable.
    package func removeCopy() { readable.removeCopy() }

    private func requireWriteLock() throws -> WriteLock {
        try access.requireWritable()
        guard let writeLock else { throw StorageError.readOnly(reason: path) }
        return writeLock
    }

    private func writerQueue(_ wait: LockWait) throws -> DatabaseQueue {
        let writeLock = try requireWriteLock()
        return try writer.withLock { queue in
            if let queue { return queue }
            let opened = try writeLock.withLock(wait) {
                var configuration = Self.configuration(readonly: false, trace: trace)
                configuration.prepareDatabase { [cacheBytes] db in
                    try db.execute(sql: "PRAGMA cache_size = -\(cacheBytes >> 10)")
                }
                return try DatabaseQueue(path: path, configuration: configuration)
            }
            queue = opened
            return opened
        }
    }
}
