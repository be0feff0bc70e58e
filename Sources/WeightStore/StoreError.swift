import Storage

/// What can go wrong in a store, beside what its parts report.
///
/// The parts have errors of their own, which pass through: ``FileError``, ``StorageError``, ``PolicyError``, ``TierError``,
/// ``DeviceError``, ``FormatError``, ``FetchError``. A cancelled call throws `CancellationError`.
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
        case .originDiffers(let origin, let digest, let found): "\(origin): returned \(found) for shard \(digest.short)."
        case .originFailed(let origin, let digest, let reason):
            "\(origin): could not return shard \(digest.short): \(reason)."
        }
    }
}
