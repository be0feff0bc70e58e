/// How far a node of a fleet is behind the versions that it follows.
public struct NodeState: Sendable {
    /// The followed refs.
    public var refs = 0
    /// The followed refs of which the node lacks the current version.
    public var refsBehind = 0
    /// The most versions that the node is behind in a ref.
    public var versionsBehind = 0
    /// The bytes of current versions that the node lacks.
    public var missingBytes = 0
    /// The bytes fetched from peers.
    public var fromPeers = 0
    /// The bytes fetched from the bucket.
    public var fromOrigin = 0
    /// Whether the last sync failed.
    public var isFailing = false

    /// A node that follows nothing.
    public init() {}

    func write(to text: inout Exposition) {
        text.add(.nodeRefs, refs)
        text.add(.nodeRefsBehind, refsBehind)
        text.add(.nodeVersionsBehind, versionsBehind)
        text.add(.nodeMissingBytes, missingBytes)
        text.add(.nodeFetchedBytes, fromPeers, "peer")
        text.add(.nodeFetchedBytes, fromOrigin, "bucket")
        text.add(.nodeFailing, isFailing ? 1 : 0)
    }
}
