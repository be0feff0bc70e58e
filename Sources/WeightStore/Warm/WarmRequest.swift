import Tiers

/// What to warm, and where.
public struct WarmRequest: Sendable {
    public var tier: Tier
    /// So many of the most used revisions; without effect if `revisions` names some.
    public var top = 5
    /// Only these, used or not, as in ``Store/revision(_:)``.
    public var revisions: [String] = []
    /// Whether shards that were evicted from the disk are fetched from their origins.
    public var fetches = true
    /// Computes KV blocks of common prompts that the store lacks; nil leaves them out.
    public var engine: (any PrefillEngine)?

    public init(to tier: Tier = .ram) { self.tier = tier }
}
