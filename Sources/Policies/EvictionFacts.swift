/// The facts about a resident shard that a policy can use: the values of `CandidateColumn.all` in memory tiers.
package struct EvictionFacts: Sendable {
    package var bytes: Int
    /// Seconds since 1970.
    package var lastAccess = 0.0
    package var accessCount = 0
    /// The heat at `lastAccess`.
    package var heat = 0.0
    package var clock = 0.0
    /// Seconds since 1970.
    package var insertedAt = 0.0
    package var fetchSeconds = 0.0
    package var layer: Int?
    /// A raw value of `ShardKind`.
    package var kind: String
    package var modelCount = 1
    /// The number of blocks before a KV block; 0 for other shards.
    package var depth = 0
    /// The number of evictable children of a KV block; 0 for other shards.
    package var children = 0

    package init(bytes: Int, kind: String) {
        self.bytes = bytes
        self.kind = kind
    }
}
