import DeviceMemory
import Files
import ModelFormats
import Policies
import Storage
import Support
import Tiers

/// An error of a store: a case of its own, or the error of one of its modules.
///
/// A call throws the error of the module that failed, such as ``StorageError`` or ``TierError``, or a case that is
/// declared here. A cancelled call throws `CancellationError`. ``init(_:)`` wraps any of them, so that one `switch`
/// handles all:
///
///     do { … } catch {
///         switch StoreError(error) {
///         case .storage(.notFound(let kind, let name, _)): …
///         case .cancelled: …
///         default: …
///         }
///     }
public enum StoreError: Error, Sendable, Equatable {
    /// A source file changed while an import read it.
    case sourceChanged(path: String)
    /// A blob of a Hugging Face cache does not have the digest that its name says, and that the hub has published;
    /// `found` is the digest of its bytes.
    case blobDiffers(path: String, found: String)
    /// A model directory lacks files that its index names.
    case incomplete(path: String, missing: [String])
    /// An import that moved files out of `source` was interrupted, and its files are in `revision`. The files that are
    /// in `source` now are neither the rest of that import nor clearly other files.
    case moveInterrupted(source: String, revision: String)
    /// An interrupted `import --move` into another model still has files in the source: what is left of them would
    /// become an incomplete model.
    case moveIntoAnother(source: String, model: String)
    /// The revision is pinned; `note` is the pin's note.
    case pinned(revision: String, note: String)
    /// Live processes hold a lease on the revision.
    case inUse(revision: String, holders: [String])
    /// The disk quota has no space for `requested` bytes: `stored` bytes are stored, and only `evictable` of them can
    /// be evicted.
    case quotaFull(quota: Int, stored: Int, requested: Int, evictable: Int)
    /// An origin returned bytes with another digest than the shard's.
    case originDiffers(origin: String, digest: ContentDigest, found: String)
    /// An origin did not return a shard.
    case originFailed(origin: String, digest: ContentDigest, reason: String)
    /// Each of several origins failed, in the order in which they were tried.
    case originsFailed([OriginFailure])
    /// An origin does not hold a revision, or holds other bytes.
    case originLacks(origin: String, revision: String, reason: String)
    /// It could not be checked whether an origin holds a revision.
    case originUnchecked(origin: String, revision: String, reason: String)
    /// The origin is the last one that has `shards` shards of the revision that are not stored.
    case originNeeded(origin: String, revision: String, shards: Int)
    /// `shards` shards of the revision are not stored, and other revisions without an origin also contain them. They
    /// could not be fetched before the revision's removal.
    case neededElsewhere(revision: String, others: [String], shards: Int, reason: String)

    /// An error of threads, progress or buffers.
    case support(SupportError)
    /// An error of the file system.
    case file(FileError)
    /// A file is not valid in its format.
    case format(FormatError)
    /// An error of a device, such as a GPU.
    case device(DeviceError)
    /// An error of the catalog or of a blob.
    case storage(StorageError)
    /// An eviction policy was rejected or failed.
    case policy(PolicyError)
    /// An error of a memory tier.
    case tier(TierError)
    /// An error between an origin and the store.
    case fetch(FetchError)
    /// The call was cancelled.
    case cancelled
    /// An error of other code, such as an application's own origin; `description` is its text.
    case other(description: String)

    /// Wraps an error that a call of this library threw.
    public init(_ error: any Error) {
        self =
            switch error {
            case let error as StoreError: error
            case let error as SupportError: .support(error)
            case let error as FileError: .file(error)
            case let error as FormatError: .format(error)
            case let error as DeviceError: .device(error)
            case let error as StorageError: .storage(error)
            case let error as PolicyError: .policy(error)
            case let error as TierError: .tier(error)
            case let error as FetchError: .fetch(error)
            case is CancellationError: .cancelled
            default: .other(description: "\(error)")
            }
    }

    /// The error that decides how a program reacts. Of several origins, it is that of the first that failed for another
    /// reason than that it does not have the bytes.
    public var cause: StoreError {
        guard case .originsFailed(let failures) = self else { return self }
        return (failures.first { !$0.isAbsence } ?? failures.first)?.error ?? .other(description: description)
    }
}

extension StoreError: CustomStringConvertible {
    /// The failure, and the model, file or origin that it concerns, without secrets of a URL. It names no command of the
    /// tool.
    public var description: String { text.withoutURLSecrets }

    private var text: String {
        switch self {
        case .sourceChanged(let path):
            "\(path): changed while it was read. Nothing was imported."
        case .blobDiffers(let path, let found):
            """
            \(path): damaged: its bytes have the \(found), which is not the digest that names the blob in the cache. Remove \
            it from the cache, and download the model again.
            """
        case .incomplete(let path, let missing):
            """
            \(path): incomplete: \(missing.prefix(5).joined(separator: ", "))\
            \(missing.count > 5 ? " and \(missing.count - 5) more" : "") missing.
            """
        case .moveInterrupted(let source, let revision):
            """
            \(source): an interrupted import moved files from here to \(revision), and the files that are here now \
            are not the rest of that import.
            """
        case .moveIntoAnother(let source, let model):
            "\(source): an interrupted import moves the files from here to \(model), and has not removed all of them."
        case .pinned(let revision, let note): "\(revision): pinned\(note.isEmpty ? "" : " (\(note))"). Unpin it first."
        case .inUse(let revision, let holders): "\(revision): in use by \(holders.joined(separator: ", "))."
        case .quotaFull(let quota, let stored, let requested, let evictable):
            """
            no space for \(Quantity.bytes(requested)): the quota is \(Quantity.bytes(quota)), \(Quantity.bytes(stored)) \
            are stored, and \(Quantity.bytes(evictable)) of them can be evicted.
            """
        case .originDiffers(let origin, let digest, let found):
            "\(origin): returned wrong bytes for shard \(digest.short): \(found)."
        case .originFailed(let origin, let digest, let reason):
            "\(origin): could not return shard \(digest.short): \(reason)."
        case .originsFailed(let failures):
            "all \(failures.count) origins failed. \(failures.map(\.description).joined(separator: " "))"
        case .originLacks(let origin, let revision, let reason):
            "\(origin): does not hold \(revision): \(reason)."
        case .originUnchecked(let origin, let revision, let reason):
            "\(origin): could not be checked for \(revision): \(reason)."
        case .originNeeded(let origin, let revision, let shards):
            """
            \(revision): \(shards) of its shards are not stored, and \(origin) is the last origin that has them. \
            Nothing was changed.
            """
        case .neededElsewhere(let revision, let others, let shards, let reason):
            """
            \(revision): not removed: \(others.prefix(5).joined(separator: ", "))\
            \(others.count > 5 ? " and \(others.count - 5) more" : "") need \(shards) of its shards that are not stored, \
            and have no origin for them. Fetching these shards failed: \(reason)
            """
        case .support(let error): "\(error)"
        case .file(let error): "\(error)"
        case .format(let error): "\(error)"
        case .device(let error): "\(error)"
        case .storage(let error): "\(error)"
        case .policy(let error): "\(error)"
        case .tier(let error): "\(error)"
        case .fetch(let error): "\(error)"
        case .cancelled: "Cancelled. Durable data stays, and the next run reuses it."
        case .other(let description): description
        }
    }
}
