import Foundation
import WeightStore

/// A node's name, address and followed refs, as announced under its lease.
public struct NodeInfo: Codable, Sendable, Equatable {
    /// Unique in the fleet.
    public let name: String
    /// The address at which it serves peers: `peer+https://host:port`.
    public let url: String
    /// The models and refs that it follows.
    public let follows: [Follow]

    func follows(model: String) -> Bool { follows.contains { $0.model == model } }
}

/// A node's state of the refs that it follows, as it announces it.
public struct NodeHoldings: Codable, Sendable, Equatable {
    /// A node's state of one ref.
    public struct Holding: Codable, Sendable, Equatable {
        /// The model's name.
        public let model: String
        /// The ref's name.
        public let ref: String
        /// The version that the map names, as last received by the node; nil if the ref no longer exists.
        public let wanted: Int?
        /// The version that the ref names on this node; nil if there is none, or if it is no longer in the map.
        public let held: Int?
        /// The digest of the revision that the ref names on this node; nil if there is none yet.
        public let digest: ContentDigest?
        /// Bytes that are not fetched yet.
        public let missing: Int

        /// Whether the node has the version that the map names.
        public var isCurrent: Bool { wanted == held && held != nil }
    }

    /// The node's name.
    public let name: String
    /// The source of its changes: `watch` (etcd) or `poll` (the bucket).
    public let changeSource: String
    /// One entry for each followed ref.
    public let holdings: [Holding]
    /// Bytes of shards fetched from peers since the node was started.
    public let fromPeers: Int
    /// Bytes of shards fetched from elsewhere since the node was started.
    public let fromOrigin: Int
    /// The error of the last sync; nil if it succeeded.
    public let failure: String?

    private enum CodingKeys: String, CodingKey {
        case changeSource = "hears"
        case name, holdings, fromPeers, fromOrigin, failure
    }
}
