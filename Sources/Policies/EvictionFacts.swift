/// A resident shard, as a policy sees it.
package struct EvictionFacts {
    package let bytes: Int
    /// Seconds since 1970.
    package let lastAccess: Double
    package let accessCount: Int
    /// As of `lastAccess`.
    package let heat: Double
    package let clock: Double
    /// Seconds since 1970.
    package let insertedAt: Double
    package let fetchSeconds: Double
    package let layer: Int?
    package let kind: String
    package let modelCount: Int
    /// Of a KV block: how many blocks come before it; otherwise 0.
    package var depth = 0
    /// Of a KV block: how many blocks build on it, of those that may go; otherwise 0.
    package var children = 0

    package init(
        bytes: Int, lastAccess: Double, accessCount: Int, heat: Double, clock: Double, insertedAt: Double, fetchSeconds: Double, layer: Int?, kind: String, modelCount: Int, depth: Int = 0, children: Int = 0
    ) {
        self.bytes = bytes
        self.lastAccess = lastAccess
        self.accessCount = accessCount
        self.heat = heat
        self.clock = clock
        self.insertedAt = insertedAt
        self.fetchSeconds = fetchSeconds
        self.layer = layer
        self.kind = kind
        self.modelCount = modelCount
        self.depth = depth
        self.children = children
    }
}
