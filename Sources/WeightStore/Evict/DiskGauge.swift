import GRDB
import Storage

/// What the disk tier holds.
public struct DiskGauge: Sendable, Codable {
    public let quota: Quota
    /// Shards that are present, and their bytes.
    public let shards: Int
    public let bytes: Int
    /// Bytes of shards that went, and that an origin has.
    public let evicted: Int
    /// Of `bytes`, what may be evicted now;
    public let evictable: Int
    /// what may not because a living process holds its revision, or its import is under way;
    public let inUse: Int
    /// what may not because its revision is pinned;
    public let pinned: Int
    /// and what may not because no origin has it: it goes only when a person removes the model.
    public let withoutOrigin: Int
}
