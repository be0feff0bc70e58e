import GRDB

/// The revisions to prune: those for which every condition that is set holds.
public struct PruneRule: Sendable {
    /// Only models whose names match this shell pattern, such as `org/*`.
    public var models: String?
    /// Only revisions that no ref names.
    public var unreferenced = false
    /// Only revisions that were neither added nor used for this many seconds.
    public var olderThanSeconds: Int?
    /// All but this many newest versions of each model.
    public var keepLast: Int?
    /// Only until the store's shards of weights have at most this many bytes, least recently used revisions first.
    public var downToBytes: Int?

    /// A rule without conditions: all revisions.
    public init() {}
}
