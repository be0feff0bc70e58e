import Foundation
import GRDB
import Glibc
import Logging
import Synchronization

/// A store of model weights on disk: what users of the library hold.
///
///     let store = try Store(at: "/var/lib/weightstore")
///     let revision = try store.revision("org/name@main")
///     let layer = try revision.layer(12)
///     for tensor in layer.tensors { tensor.bytes.withUnsafeBytes { … } }
///
/// Many threads may use one store, and many processes one directory. Calls block on I/O: make them on threads of
/// your own, not on Swift's cooperative pool.
public final class Store: Sendable {
    /// The directory, as an absolute path.
    public let path: String
    let catalog: Catalog
    let blobs: BlobDirectory
    let leases: LeaseDirectory
    let reserve: Reserve
    let accesses: AccessLog
    let tiers: TierSet
    let origins = OriginRegistry()
    let nearer = NearerOriginsSlot()
    /// Of all fetches of what is used and not here; they have no other.
    package let misses = FetchProgress()
    let recorder: AccessRecorder
    /// Changes with every prompt that this process registers or removes.
    let promptChanges = Atomic<Int>(0)
    let background = BackgroundEviction()
    let logger: Logger
    let cores: Int
    static let processors = sysconf(Int32(_SC_NPROCESSORS_ONLN))
    /// The disk was full when the store was opened.
    private let gaveUpReserve: Bool

    /// Opens the store in a directory.
    ///
    /// - Parameters:
    ///   - create: make the directory and an empty store if there is none.
    ///   - logger: is told what a caller is not.
    /// - Throws: ``StoreError``.
    public convenience init(at path: String, create: Bool = false, logger: Logger = Logger(label: "weightstore")) throws {
        try self.init(at: path, create: create, logger: logger, trace: nil)
    }

    /// - Parameter trace: is told every SQL statement.
    package init(
        at path: String, create: Bool, logger: Logger = Logger(label: "weightstore"),
        trace: (@Sendable (String) -> Void)?
    ) throws {
        if !FileSystem.exists(path + "/blobs") {
            guard create else { throw StoreError.notAStore(path: path) }
            let others = try FileSystem.entries(path).filter { $0 != "lost+found" }
            if !others.isEmpty, !FileSystem.exists(path + "/write.lock") {
                throw StoreError.invalid(
                    what: "place for a store", value: path, reason: "the directory holds other files")
            }
            try FileSystem.createDirectory(path)
            try FileSystem.refuseNetwork(path)
            // `write.lock` first: it says that this is a store in the making, to another process that makes it at the
            // same time, and to the next one after a crash. `blobs` last: it says that the rest is there.
            _ = try WriteLock(path + "/write.lock")
            for part in ["staging", "leases", "quarantine", "blobs"] {
                try FileSystem.createDirectory("\(path)/\(part)")
            }
            try Reserve(path: path + "/reserve").restore()
        }
        let path = try FileSystem.resolve(path)
        self.path = path
        self.logger = logger
        let blobs = BlobDirectory(root: path + "/blobs")
        self.blobs = blobs
        recorder = AccessRecorder(path)
        tiers = TierSet(recorder: recorder) { blobs.path($0) }
        cores = Self.processors
        reserve = Reserve(path: path + "/reserve")
        let parts: (LeaseDirectory, Catalog)
        do {
            parts = try Self.openParts(path, logger, trace)
            gaveUpReserve = false
        } catch StoreError.diskFull {
            // What the reserve is for: on a full disk SQLite can't even be opened, and gc could not help.
            try reserve.giveUp()
            parts = try Self.openParts(path, logger, trace)
            gaveUpReserve = true
        }
        (leases, catalog) = parts
        accesses = try AccessLog(catalog: catalog, tiers: tiers, recorder: recorder, logger: logger)
        tiers.fetches { [weak self] digest, isCancelled in
            // Without a store there is nobody to fetch any more.
            guard let self else { throw CancellationError() }
            try bringBack(digest, isCancelled: isCancelled)
        }
    }

    deinit {
        accesses.flush(isLast: true)
        // A dead process's staging is gc's to clear; a living one's is its own.
        try? FileSystem.removeTree(stagingPath)
        // What somebody else has taken of it in the meantime is gone; the next gc tries again.
        if gaveUpReserve { try? reserve.takeBack() }
    }

    /// Writes what was counted of accesses to the catalog. Happens by itself in batches, and when the store goes.
    public func flush() { accesses.flush() }

    private static func openParts(_ path: String, _ logger: Logger, _ trace: (@Sendable (String) -> Void)?) throws
        -> (LeaseDirectory, Catalog)
    {
        let leases = try LeaseDirectory(path + "/leases")
        // A new catalog beside old blobs would make garbage of them. The blobs are looked at first: whoever brought
        // them had a catalog before.
        if try !FileSystem.entries(path + "/blobs").isEmpty {
            let status = try FileSystem.status(path + "/store.db")
            if status == nil || status?.bytes == 0 {
                throw StoreError.catalogDamaged(
                    path: path + "/store.db",
                    message: "\(status == nil ? "not there" : "empty"), although there are blobs")
            }
        }
        return (leases, try Catalog(directory: path, logger: logger, trace: trace))
    }

    /// Where a shard's blob is.
    package func blobPath(_ digest: Digest) -> String { blobs.path(digest) }

    private var stagingPath: String { "\(path)/staging/\(leases.name)" }

    /// This process's folder in `staging/`.
    func stagingDirectory() throws -> String {
        if mkdir(stagingPath, 0o777) == -1, errno != EEXIST {
            throw errno == ENOSPC
                ? StoreError.diskFull(path: stagingPath)
                : StoreError.system(operation: "mkdir", path: stagingPath, code: errno)
        }
        return stagingPath
    }

    private static let smallFiles = Atomic<Int>(0)

    /// A change to models, whose records are written anew with it.
    func change() -> ModelChange {
        ModelChange(catalog: catalog, blobs: blobs) {
            let number = Self.smallFiles.add(1, ordering: .relaxed).newValue
            return try StagedFile("\(try self.stagingDirectory())/record-\(number)")
        }
    }
}
