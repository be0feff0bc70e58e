import Files
import Foundation
import GRDB
import Glibc
import Logging
import Storage
import Support
import Synchronization
import Tiers

/// A store of model weights in a directory: the entry point of the library.
///
///     let store = try Store(at: "/var/lib/weightstore")
///     let revision = try store.revision("org/name@main")
///     let layer = try revision.layer(12)
///     for tensor in layer.tensors { tensor.bytes.withUnsafeBytes { … } }
///
/// Threads may share one store, and processes one directory. Calls that are not `async` block on I/O: make them on
/// threads outside of Swift's cooperative pool.
///
/// A store that this process cannot write, such as one on a read-only mount or of another user, is opened read-only
/// (``readOnlyReason``): uses are neither counted nor leased, and calls that change the store throw
/// ``StorageError/readOnly(reason:)``.
public final class Store: Sendable {
    /// The absolute path of the directory.
    public let path: String
    let access: StoreAccess
    package let catalog: Catalog
    let blobs: BlobDirectory
    let leases: LeaseDirectory
    let reserve: Reserve
    let accesses: AccessLog
    let tiers: TierSet
    let origins = OriginRegistry()
    let nearer = NearerOriginsSlot()
    let silentOrigins = SilentOrigins()
    /// The origins of which a failure was logged.
    let reportedOrigins = ReportedOrigins()
    /// The origins of which a failure was recorded as an event.
    let failedOrigins = ReportedOrigins()
    /// The progress and cancellation of all fetches on miss; also ends all waits for locks.
    package let missWork: Work
    /// The waits for locks: they are logged, and end with `missWork`.
    let waits: LockWait
    let recorder: AccessRecorder
    /// Incremented with each prompt that this process registers or removes.
    let promptChanges = Atomic<Int>(0)
    let background: BackgroundEviction
    let passing = PassedThrough()
    let fetches = RunningFetches()
    /// The files whose absent bytes are read only when they are stored: some that were read before could not be stored.
    let readWhenStored = Mutex<Set<Int64>>([])
    /// The bytes of a group of shards that is fetched.
    let groupSize = RangeSize(atMost: ShardBatch.mostBytes)
    let statistics: StatisticsWriter
    let removals = RemovalWatch()
    let logger: Logger
    /// Counted at the first use: it reads several files of the kernel.
    var cores: Int { SystemCores.count }
    /// Whether opening the store released the reserve, because the disk was full.
    private let hasReleasedReserve: Bool

    /// Opens the store in a directory.
    ///
    /// - Parameters:
    ///   - path: the directory of the store.
    ///   - create: whether the directory and an empty store are created if there is none.
    ///   - logger: receives warnings and errors that no call throws.
    ///   - work: cancelling it ends the call, which may wait for the locks of other processes.
    /// - Throws: ``StorageError/notAStore(path:)``, ``StorageError``, ``FileError``, `CancellationError`.
    public convenience init(
        at path: String, create: Bool = false, logger: Logger = Logger(label: "weightstore"), work: Work? = nil
    ) throws {
        try self.init(at: path, create: create, logger: logger, work: work, trace: nil)
    }

    /// - Parameters:
    ///   - countsUses: whether uses are counted and recorded. A benchmark's uses say nothing about what will be used.
    ///   - trace: receives every SQL statement.
    package init(
        at path: String, create: Bool, logger: Logger = Logger(label: "weightstore"), work: Work? = nil,
        countsUses: Bool = true, trace: (@Sendable (String) -> Void)?
    ) throws {
        // A model has more shards than the usual soft limit allows files.
        _ = OpenFiles.limit
        if try FileSystem.status(path + "/blobs") == nil {
            guard create else { throw StorageError.notAStore(path: path) }
            var others = try FileSystem.listing(path)
            others.names.removeAll { $0 == "lost+found" }
            if !others.isEmpty, !FileSystem.exists(path + "/write.lock") {
                throw StorageError.invalid(
                    what: "directory for a store", value: path, reason: "not empty; use an empty or a new directory")
            }
            try StoreFile.createDirectory(path)
            // The catalog warns of a file system that is not known.
            try FileSystem.requireLocal(path)
            // `write.lock` first: it marks an unfinished store, for another process that creates the store at the same
            // time, and for the next one after a crash. `blobs` last: it marks that the rest exists.
            _ = try WriteLock(path + "/write.lock")
            try Self.createFolders(path)
            try StoreFile.createDirectory(path + "/blobs")
            try Reserve(path: path + "/reserve").restore()
        }
        let path = try FileSystem.resolve(path)
        self.path = path
        let access = StoreAccess(path)
        self.access = access
        // A backup or a copy may lack folders that are empty.
        if !access.isReadOnly { try Self.createFolders(path) }
        self.logger = logger
        let missWork = Work()
        // All waits of this call end with `missWork`. Once the store is open, `work` no longer ends it.
        var opening = work?.onCancel { missWork.cancel() }
        let waits = LockWait(missWork) { logger.warning("\($0)") }
        (self.missWork, self.waits) = (missWork, waits)
        background = BackgroundEviction(within: missWork)
        let blobs = BlobDirectory(root: path + "/blobs")
        self.blobs = blobs
        recorder = AccessRecorder(path)
        tiers = TierSet(recorder: recorder) { blobs.path($0) }
        reserve = Reserve(path: path + "/reserve")
        let parts: (LeaseDirectory, Catalog)
        do {
            parts = try Self.openParts(path, access, waits, logger, trace)
            hasReleasedReserve = false
        } catch FileError.diskFull where !access.isReadOnly {
            // On a full disk SQLite cannot be opened, so gc could not free space: release the reserve.
            try reserve.release()
            parts = try Self.openParts(path, access, waits, logger, trace)
            hasReleasedReserve = true
        }
        (leases, catalog) = parts
        let statistics = StatisticsWriter(leases, tiers, fetches, catalog)
        self.statistics = statistics
        accesses = try AccessLog(
            catalog: catalog, counts: countsUses && !access.isReadOnly, recorder: recorder, logger: logger
        ) { [tiers] in
            tiers.all
        } writeStatistics: {
            statistics.write()
        }
        tiers.fetches { [weak self] misses, work, completed in
            // The store was closed, and its origins with it.
            guard let self else { throw CancellationError() }
            var digests: [ContentDigest] = []
            for miss in misses {
                do {
                    if let error = miss.error as? StorageError {
                        try setAsideIfDamaged(miss.digest, after: error, work)
                    }
                    digests.append(miss.digest)
                } catch {
                    completed(miss.digest, .failure(error))
                }
            }
            try refetch(group: digests, onUse: true, work, completed: completed)
        }
        withExtendedLifetime(opening) {}
        opening = nil
        try work?.check()
        if !access.isReadOnly {
            background.start { [weak self] in
                self?.evictPeriodically()
                self?.releaseRemovedFilesPeriodically()
            }
        }
    }

    deinit {
        accesses.flush(isLast: true)
        statistics.emit()
        if !access.isReadOnly { removeStaging() }
        // If the disk is full again, the reserve stays smaller, and the next gc restores it.
        if hasReleasedReserve { try? reserve.reclaim() }
    }

    /// Writes the access counts of this process to the catalog. The store also does so in batches, and when it is
    /// closed.
    public func flush() { accesses.flush() }

    /// Requires that `blobs/` is this store's: it is neither an empty mount point nor another store's directory.
    ///
    /// - Throws: ``StorageError/foreignBlobs(path:found:)``.
    func requireOwnBlobs() throws { try catalog.read { db in try StoreIdentity.requireIfMarked(blobs, db) } }

    /// Creates the folders other than `blobs/` that are missing.
    static func createFolders(_ path: String) throws {
        for part in ["staging", "leases", "quarantine"] { try StoreFile.createDirectory("\(path)/\(part)") }
    }

    private static func openParts(
        _ path: String, _ access: StoreAccess, _ waits: LockWait, _ logger: Logger,
        _ trace: (@Sendable (String) -> Void)?
    ) throws -> (LeaseDirectory, Catalog) {
        let leases = try LeaseDirectory(path + "/leases", access, waits)
        try requireCatalog(path, access)
        let catalog = try Catalog(
            directory: path, access, leases: leases, wait: waits, logger: logger, trace: trace)
        if access.isReadOnly { return (leases, catalog) }
        try establishIdentity(catalog, BlobDirectory(root: path + "/blobs"), logger)
        return (leases, catalog)
    }

    /// Requires a catalog, unless the store is a new one: a new catalog would make the blobs garbage, and lack the commits
    /// that `write.lock` counts. A rebuild that is killed between its renames leaves a store without one.
    ///
    /// - Throws: ``StorageError/catalogDamaged(path:message:)``.
    private static func requireCatalog(_ path: String, _ access: StoreAccess) throws {
        // Both before the catalog: another process that creates the store makes its catalog first.
        let hasBlobs = try FileSystem.entries(path + "/blobs").contains { !$0.hasPrefix(StoreMarker.name) }
        // A process that can only read makes no catalog.
        let commits = access.isReadOnly ? 0 : try WriteLock(path + "/write.lock").commits()
        guard hasBlobs || commits > 0 else { return }
        let status = try FileSystem.status(path + "/store.db")
        if let status, status.bytes > 0 { return }
        throw StorageError.catalogDamaged(
            path: path + "/store.db",
            message: "\(status == nil ? "missing" : "empty"), but "
                + (hasBlobs ? "there are blobs" : "write.lock counts commits (\(commits))"))
    }

    /// Writes the marker in `blobs/` at the first open. If that fails, the store opens: a deletion tries again, and is
    /// refused without the marker.
    private static func establishIdentity(_ catalog: Catalog, _ blobs: BlobDirectory, _ logger: Logger) throws {
        if try catalog.read(StoreIdentity.isMarked) { return }
        do {
            try catalog.write(within: .seconds(2)) { db in try StoreIdentity.establish(blobs, db) }
        } catch StorageError.busy {
            logger.debug("\(blobs.root): the write lock is held; the marker is written later")
        } catch let FileError.system(operation, path, code) {
            logger.warning("\(FileError.system(operation: operation, path: path, code: code)): no marker was written")
        }
    }

    /// The path of a shard's blob.
    package func blobPath(_ digest: ContentDigest) -> String { blobs.path(digest) }

    /// The one authority that deletes blobs.
    package var authority: DeletionAuthority { DeletionAuthority(catalog: catalog, blobs: blobs) }

    private var stagingPath: String { "\(path)/staging/\(leases.name)" }

    /// This process's folder in `staging/`.
    func stagingDirectory() throws -> String {
        try requireWritable()
        try StoreFile.createDirectoryUnsynced(stagingPath)
        return stagingPath
    }

    /// Why this process can only read the store: the path that it cannot write, and the cause. Nil if it can write.
    public var readOnlyReason: String? {
        guard case .readOnly(let reason) = access else { return nil }
        return reason
    }

    /// - Throws: ``StorageError/readOnly(reason:)``.
    func requireWritable() throws { try access.requireWritable() }

    /// Opens a lock file in the store's directory.
    ///
    /// - Throws: ``StorageError/readOnly(reason:)``.
    func lockFile(_ name: String) throws -> FileDescriptor {
        try requireWritable()
        return try StoreFile.open("\(path)/\(name)", O_RDWR)
    }

    /// Removes what this process alone uses, before it is ended. Writes that are still in progress fail.
    package func removeTemporaryFiles() {
        catalog.removeCopy()
        if !access.isReadOnly { removeStaging() }
    }

    /// Removes this process's folder in `staging/`.
    private func removeStaging() {
        // If the removal fails, gc removes the folder once the process has ended.
        try? FileSystem.removeTree(stagingPath)
    }

    private static let smallFiles = Atomic<Int>(0)

    /// A change to models, which also writes their new records.
    ///
    /// - Parameter work: cancelling it ends the wait for the write lock.
    func change(_ work: Work? = nil) -> ModelChange {
        ModelChange(catalog: catalog, blobs: blobs, work) {
            let number = Self.smallFiles.add(1, ordering: .relaxed).newValue
            return try StagedFile("\(try self.stagingDirectory())/record-\(number)")
        }
    }
}
