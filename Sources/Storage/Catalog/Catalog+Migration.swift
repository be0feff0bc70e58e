import Files
import GRDB
import Glibc
import Logging
import Migrations

/// Migrations, and their exclusion of older processes.
///
/// A program compares the schema with its own only when it opens the catalog. So the schema changes only while no
/// process of an older program has the store open:
///
/// * A process holds its lease before it opens the catalog, and its lease file contains its schema. A lease file
///   without a schema belongs to a program of schema 5 or older.
/// * A migration holds `leases/.lock` exclusively from reading the leases until its commit. A process that starts waits
///   for that lock and then sees the new schema; an older program rejects it.
/// * A process of a newer schema does not block a migration: it has not opened the catalog yet, and will see the new
///   schema.
extension Catalog {
    /// The number of the last migration.
    package static let schema = Migrations.all.count
    /// The longest wait of a migration for processes of older programs to end.
    static let migrationTimeout = Duration.seconds(10)
    private static let pollMicroseconds: UInt32 = 50_000

    static let migrator: DatabaseMigrator = {
        var migrator = DatabaseMigrator()
        for (name, sql) in Migrations.all {
            migrator.registerMigration(name) { db in try db.execute(sql: sql) }
        }
        return migrator
    }()

    /// Applies the missing migrations, once no process of an older program is alive.
    ///
    /// - Parameters:
    ///   - wait: the waits for the locks; cancelling it also ends the wait for older processes.
    ///   - leases: nil for a catalog that no other process uses.
    ///   - logger: receives a notice if the migration has to wait.
    /// - Throws: ``StorageError/olderProcesses(path:processes:)`` after `migrationTimeout`,
    ///   ``StorageError/newerSchema(path:)``.
    static func migrate(
        _ path: String, under lock: WriteLock, _ wait: LockWait, _ leases: LeaseDirectory?, _ logger: Logger?
    ) throws {
        guard let leases else { return try applyMigrations(path, under: lock, wait) }
        let end = ContinuousClock.now + migrationTimeout
        var hasWaited = false
        while true {
            // The lock is free between two attempts, because a process needs it to release a revision.
            let older = try leases.withNewUsesBlocked { holders in
                let older = holders.filter { ($0.program?.schema ?? 0) < schema }
                if older.isEmpty { try applyMigrations(path, under: lock, wait) }
                return older.map(\.description)
            }
            if older.isEmpty { return }
            guard ContinuousClock.now < end else { throw StorageError.olderProcesses(path: path, processes: older) }
            if !hasWaited {
                logger?.notice(
                    "\(path): waiting up to \(migrationTimeout) for older processes to end: \(older.joined(separator: ", "))"
                )
                hasWaited = true
            }
            try wait.check()
            usleep(pollMicroseconds)
        }
    }

    private static func applyMigrations(_ path: String, under lock: WriteLock, _ wait: LockWait) throws {
        try translating(path) {
            try lock.withLock(wait) {
                // With the owner and the mode of a store's file; SQLite gives its other files the same ones.
                if !FileSystem.exists(path) { _ = try StoreFile.open(path, O_RDWR) }
                let queue = try DatabaseQueue(path: path, configuration: configuration(readonly: false, trace: nil))
                if try queue.read(migrator.hasBeenSuperseded) { throw StorageError.newerSchema(path: path) }
                try migrator.migrate(queue)
                // Closing checkpoints only if no other connection is open, such as this process's readers.
                try queue.writeWithoutTransaction { db in try checkpointIfLarge(path, db) }
                try queue.close()
            }
        }
    }
}
