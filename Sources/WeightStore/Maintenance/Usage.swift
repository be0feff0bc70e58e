import GRDB

/// What a model takes, and what deduplication saves.
public struct ModelUsage: Sendable, Codable {
    public let model: String
    public let revisions: Int
    /// Bytes of the files of all its revisions.
    public let logical: Int
    /// Bytes of the distinct shards under them.
    public let stored: Int
    /// Of these, bytes of shards that other models hold, too.
    public let shared: Int
    /// What removing the model would free: `stored` − `shared`.
    public let own: Int
}

/// What a store takes.
public struct StoreUsage: Sendable, Codable {
    public let models: [ModelUsage]
    /// Bytes of the files of all revisions.
    public let logical: Int
    /// Bytes of all shards of weights.
    public let stored: Int
    /// Of these, bytes that no revision references: what `gc` will free after the grace period.
    public let orphaned: Int
    /// Bytes of shards that went from the disk, and that an origin has.
    public let evicted: Int
    /// Bytes of KV blocks. They are not in the other figures.
    public let kv: Int
}

/// Counts of a store, and of its catalog.
public struct StoreStats: Sendable, Codable {
    public let models: Int
    public let revisions: Int
    public let files: Int
    public let tensors: Int
    /// Shards of weights, and their bytes.
    public let shards: Int
    public let stored: Int
    public let kvBlocks: Int
    /// Bytes of KV blocks.
    public let kvStored: Int
    public let damaged: Int
    public let pins: Int
    /// Uses of shards, each since it came in.
    public let accesses: Int
    /// Bytes of the catalog's file.
    public let catalog: Int
    /// Bytes that the disk still has.
    public let available: Int
    /// Processes that have the store open, this one left out.
    public let processes: [String]
}
