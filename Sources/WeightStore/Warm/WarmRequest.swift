import Tiers

/// The tier and the revisions to warm.
public struct WarmRequest: Sendable {
    /// The tier to load into.
    public var tier: Tier
    /// The number of revisions to warm, most used first. Ignored if `revisions` is not empty.
    public var top = 5
    /// Names of revisions to warm, used or not, as in ``Store/revision(_:)``; empty means the most used ones.
    public var revisions: [String] = []
    /// Whether shards that were evicted from the disk are fetched from their origins.
    public var fetches = true
    /// The engine that computes KV blocks of common prompts that the store lacks; nil leaves these blocks out.
    public var engine: (any PrefillEngine)?

    /// A request for the five most used revisions.
    public init(to tier: Tier = .ram) { self.tier = tier }
}
