import DeviceMemory
import Files
import ModelFormats
import Policies
import Storage
import Support
import Tiers

/// What can go wrong in a store: the cases of its own, and the errors of its parts.
///
/// Calls throw the error of the part that failed, such as ``StorageError`` or ``TierError``, or one of the own cases here;
/// a cancelled call throws `CancellationError`. ``init(_:)`` makes one value of any of them, for a caller that treats all in
/// one `switch`.
///
///     do { … } catch {
///         switch StoreError(error) {
///         case .storage(.notFound(let kind, let name, _)): …
///         case .cancelled: …
///         default: …
///         }
///     }
public enum StoreError: Error, Sendable, Equatable {
    /// A source file changed while it was read.
    case sourceChanged(path: String)
    /// A model directory that lacks files which its index names.
    case incomplete(path: String, missing: [String])
    /// A pinned revision; `note` says why.
    case pinned(revision: String, note: String)
    /// A revision that living processes hold a lease on.
    case inUse(revision: String, holders: [String])
    /// The disk's quota has no room: `requested` bytes beside the `stored` ones, of which only `evictable` can be evicted.
    case quotaFull(quota: Int, stored: Int, requested: Int, evictable: Int)
    /// An origin returned other bytes than the shard's.
    case originDiffers(origin: String, digest: ContentDigest, found: String)
    /// An origin failed to return a shard.
    case originFailed(origin: String, digest: ContentDigest, reason: String)

    case support(SupportError)
    case file(FileError)
    case format(FormatError)
    case device(DeviceError)
    case storage(StorageError)
    case policy(PolicyError)
    case tier(TierError)
    case fetch(FetchError)
    /// The call was cancelled.
    case cancelled
    /// An error that is none of this library's, such as an own origin's; `description` is what it says of itself.
    case other(description: String)

    /// Any error of the library, as one type.
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
}

extension StoreError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .sourceChanged(let path):
            "\(path): changed while it was read. Nothing was imported."
        case .incomplete(let path, let missing):
            "\(path): incomplete: \(missing.prefix(5).joined(separator: ", "))\(missing.count > 5 ? " and \(missing.count - 5) more" : "") missing."
        case .pinned(let revision, let note): "\(revision): pinned\(note.isEmpty ? "" : " (\(note))"). Unpin it first."
        case .inUse(let revision, let holders): "\(revision): in use by \(holders.joined(separator: ", "))."
        case .quotaFull(let quota, let stored, let requested, let evictable):
            "no room for \(requested) bytes: the quota is \(quota), \(stored) are stored, and \(evictable) of them can be evicted."
        case .originDiffers(let origin, let digest, let found):
            "\(origin): returned \(found) for shard \(digest.short)."
        case .originFailed(let origin, let digest, let reason):
            "\(origin): could not return shard \(digest.short): \(reason)."
        case .support(let error): "\(error)"
        case .file(let error): "\(error)"
        case .format(let error): "\(error)"
        case .device(let error): "\(error)"
        case .storage(let error): "\(error)"
        case .policy(let error): "\(error)"
        case .tier(let error): "\(error)"
        case .fetch(let error): "\(error)"
        case .cancelled: "Cancelled. What is durable stays, for the next run to reuse."
        case .other(let description): description
        }
    }
}
