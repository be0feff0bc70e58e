import GRDB
import Storage

/// The weights in the disk tier. `evictable`, `inUse`, `pinned` and `withoutOrigin` add up to `bytes`.
public struct DiskGauge: Sendable, Codable {
    /// The quota and its policy.
    public let quota: Quota
    /// The number of shards that are present.
    public let shards: Int
    /// Bytes of these shards.
    public let bytes: Int
    /// Bytes of shards that were evicted.
    public let evicted: Int
    /// Bytes that can be evicted now.
    public let evictable: Int
    /// Bytes that a live process uses: it holds their revision, or is importing or pulling them.
    public let inUse: Int
    /// Bytes of pinned revisions.
    public let pinned: Int
    /// Bytes of revisions without a checked origin: they are deleted only when the revision is removed.
    public let withoutOrigin: Int
}
