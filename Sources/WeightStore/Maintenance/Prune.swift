import GRDB

/// The revisions to prune: those for which every condition that is set holds. Revisions that a ref names are kept, unless
/// ``includesReferenced`` is set.
public struct PruneRule: Sendable {
    /// Only models whose names match this shell pattern, such as `org/*`.
    public var models: String?
    /// Also revisions that a ref other than `main` names. The revision that `main` names is never pruned.
    public var includesReferenced = false
    /// Only revisions that were neither added nor used for this many seconds.
    public var olderThanSeconds: Int?
    /// Only revisions that are not among this many newest versions of their model.
    public var keepLast: Int?
    /// Only until the store's shards of weights have at most this many bytes, least recently used revisions first.
    public var downToBytes: Int?

    /// A rule without conditions: all revisions that no ref names.
    public init() {}
}
