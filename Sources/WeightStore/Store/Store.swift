import Files
import Foundation
import GRDB
import Glibc
import Logging
import Storage
import Support
import Synchronization
import Tiers

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
    package let catalog: Catalog
    let blobs: BlobDirectory
    let leases: LeaseDirectory
    let reserve: Reserve
    let accesses: AccessLog
    let tiers: TierSet
    let origins = OriginRegistry()
    let nearer = NearerOriginsSlot()
    /// Of all fetches of what is used and not here; they have no other.
    package let misses = Work()
    let recorder: AccessRecorder
    /// Changes with every prompt that this process registers or removes.
    let promptChanges = Atomic<Int>(0)
    let background = BackgroundEviction()
    let logger: Logger
    let cores: Int
    /// The disk was full when the store was opened.
    private let gaveUpReserve: Bool

    /// Opens the store in a directory.
    ///
    /// - Parameters:
    ///   - create: make the directory and an empty store if there is none.
    ///   - logger: receives what is not reported to the caller.
    /// - Throws: ``StoreError``.
    public convenience init(at path: String, create: Bool = false, logger: Logger = Logger(label: "weightstore")) throws
    {
        try self.init(at: path, create: create, logger: logger, trace: nil)
    }

    /// - Parameter trace: receives every SQL statement.
    package init(
        at path: String, create: Bool, logger: Logger = Logger(label: "weightstore"),
        trace: (@Sendable (String) -> Void)?
    ) throws {
        if !FileSystem.exists(path + "/blobs") {
            guard create else { throw StorageError.notAStore(path: path) }
            let others = try FileSystem.entries(path).filter { $0 != "lost+found" }
            if !others.isEmpty, !FileSystem.exists(path + "/write.lock") {
                throw StorageError.invalid(
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
        cores = Processors.count
        reserve = Reserve(path: path + "/reserve")
        let parts: (LeaseDirectory, Catalog)
        do {
            parts = try Self.openParts(path, logger, trace)
            gaveUpReserve = false
        } catch FileError.diskFull {
            // What the reserve is for: on a full disk SQLite can't even be opened, and gc could not help.
            try reserve.giveUp()
            parts = try Self.openParts(path, logger, trace)
            gaveUpReserve = true
        }
        (leases, catalog) = parts
        accesses = try AccessLog(catalog: catalog, recorder: recorder, logger: logger) { [tiers] in tiers.all }
        tiers.fetches { [weak self] digest, work in
            // The store is gone, and with it what it fetches from.
            guard let self else { throw CancellationError() }
            try bringBack(digest, work: work)
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
                throw StorageError.catalogDamaged(
                    path: path + "/store.db",
                    message: "\(status == nil ? "not there" : "empty"), although there are blobs")
            }
        }
        return (leases, try Catalog(directory: path, leases: leases, logger: logger, trace: trace))
    }

    /// Where a shard's blob is.
    package func blobPath(_ digest: ContentDigest) -> String { blobs.path(digest) }

    /// Removes blobs whose rows are gone.
    var sweep: Sweep { Sweep(catalog: catalog, blobs: blobs) }

    private var stagingPath: String { "\(path)/staging/\(leases.name)" }

    /// This process's folder in `staging/`.
    func stagingDirectory() throws -> String {
        if mkdir(stagingPath, 0o777) == -1, errno != EEXIST {
            throw errno == ENOSPC
                ? FileError.diskFull(path: stagingPath)
                : FileError.system(operation: "mkdir", path: stagingPath, code: errno)
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
