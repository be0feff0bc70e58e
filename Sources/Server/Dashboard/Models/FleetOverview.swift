/// The state of a fleet, for the dashboard of a node: its nodes, and the version of each model on each.
///
/// The server knows no fleet; ``ServerOptions/fleet`` supplies it.
public struct FleetOverview: Sendable, Encodable {
    /// What a node has of one ref of a model.
    public struct Holding: Sendable, Encodable {
        /// `org/name@ref`.
        public let name: String
        /// The version that the ref names in the fleet; nil if the ref no longer exists.
        public let wanted: Int?
        /// The version that the node has; nil if it has none.
        public let held: Int?
        /// Bytes that the node has not fetched yet.
        public let missing: Int

        /// Creates the state of a ref on a node.
        public init(name: String, wanted: Int?, held: Int?, missing: Int) {
            self.name = name
            self.wanted = wanted
            self.held = held
            self.missing = missing
        }

        /// Whether the node has the version that the ref names.
        var isCurrent: Bool { held != nil && held == wanted }
    }

    /// A node.
    public struct Node: Sendable, Encodable {
        /// Its name.
        public let name: String
        /// Its address.
        public let url: String
        /// The source of its changes, `watch` or `poll`; nil if it has not reported yet.
        public let changes: String?
        /// The error of its last sync; nil if it succeeded.
        public let failure: String?
        /// What it has, one entry for each ref that it follows.
        public let holdings: [Holding]

        /// Creates the state of a node.
        public init(name: String, url: String, changes: String?, failure: String?, holdings: [Holding]) {
            self.name = name
            self.url = url
            self.changes = changes
            self.failure = failure
            self.holdings = holdings
        }
    }

    /// The URL of the fleet's bucket.
    public let origin: String
    /// The nodes, sorted by name.
    public let nodes: [Node]

    /// Creates the state of a fleet.
    public init(origin: String, nodes: [Node]) {
        self.origin = origin
        self.nodes = nodes
    }
}
