import GRDB

/// Which revisions to prune. Every condition that is set must hold.
public struct PruneRule: Sendable {
    /// Only models that match, as a shell would: `org/*`.
    public var models: String?
    /// Only revisions that no ref names.
    public var unreferenced = false
    /// Only revisions that were neither imported nor read for this many seconds.
    public var olderThanSeconds: Int?
    /// All but this many newest versions of each model.
    public var keepLast: Int?
    /// Only until the store's shards are down to this many bytes, the longest unused first.
    public var downToBytes: Int?

    public init() {}
}
