import GRDB
import Support

/// The disk usage of a model, and the savings by deduplication.
public struct ModelUsage: Sendable, Codable {
    /// `org/name`.
    public let model: String
    /// The number of revisions.
    public let revisions: Int
    /// Bytes of the files of all its revisions.
    public let logical: Int
    /// Bytes of the distinct shards of these files that are present.
    public let stored: Int
    /// Of these, bytes of shards that other models hold, too.
    public let shared: Int
    /// Bytes that removing the model would free: `stored` − `shared`.
    public let own: Int
}

/// The disk usage of a store.
public struct StoreUsage: Sendable, Codable {
    /// The usage of each model, sorted by name.
    public package(set) var models: [ModelUsage]
    /// Bytes of the files of all revisions.
    public let logical: Int
    /// Of these, bytes that are not stored: evicted, never fetched, damaged or missing.
    public let absent: Int
    /// Bytes of all shards of weights that are present.
    public let stored: Int
    /// Of these, bytes of shards that no revision references: a garbage collection frees them after the grace period.
    public let orphaned: Int
    /// Bytes of shards that were evicted from the disk, and that an origin has.
    public let evicted: Int
    /// Bytes of KV blocks, which the other properties do not include.
    public let kv: Int

    /// Bytes of the files of all revisions that are stored, each time that a revision has them.
    public var logicalStored: Int { logical.subtracting(saturating: absent) }

    /// Bytes that deduplication saves: of the files that are stored, those that no shard of their own holds.
    public var saved: Int { max(logicalStored.subtracting(saturating: stored.subtracting(saturating: orphaned)), 0) }
}

/// Counts of a store, and of its catalog.
public struct StoreStats: Sendable, Codable {
    /// The number of models.
    public let models: Int
    /// The number of revisions.
    public let revisions: Int
    /// The number of distinct files.
    public let files: Int
    /// The number of tensors in these files.
    public let tensors: Int
    /// The number of shards of weights, absent ones included.
    public let shards: Int
    /// Bytes of the shards of weights that are present.
    public let stored: Int
    /// The number of KV blocks.
    public let kvBlocks: Int
    /// Bytes of KV blocks.
    public let kvStored: Int
    /// The number of shards that are quarantined or missing.
    public let damaged: Int
    /// The number of pins.
    public let pins: Int
    /// Accesses of the shards of weights, each counted since the shard was stored.
    public let accesses: Int
    /// The size of the catalog file, in bytes.
    public let catalog: Int
    /// Free bytes of the disk.
    public let available: Int
    /// Other processes that have the store open.
    public let processes: [String]
}
