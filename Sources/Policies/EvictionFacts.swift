/// A resident shard, as a policy sees it: the values of `CandidateColumn.all` in memory.
package struct EvictionFacts: Sendable {
    package var bytes: Int
    /// Seconds since 1970.
    package var lastAccess = 0.0
    package var accessCount = 0
    /// As of `lastAccess`.
    package var heat = 0.0
    package var clock = 0.0
    /// Seconds since 1970.
    package var insertedAt = 0.0
    package var fetchSeconds = 0.0
    package var layer: Int?
    /// A raw value of `ShardKind`.
    package var kind: String
    package var modelCount = 1
    /// Of a KV block: how many blocks come before it; otherwise 0.
    package var depth = 0
    /// Of a KV block: how many blocks build on it, of those that may go; otherwise 0.
    package var children = 0

    package init(bytes: Int, kind: String) {
        self.bytes = bytes
        self.kind = kind
    }
}
