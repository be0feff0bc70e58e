import Foundation
import WeightStore

/// A node, as it announces itself under its lease.
public struct NodeInfo: Codable, Sendable, Equatable {
    /// Unlike that of any other.
    public let name: String
    /// Where it serves: `peer+https://host:port`.
    public let url: String
    public let follows: [Follow]

    func follows(model: String) -> Bool { follows.contains { $0.model == model } }
}

/// What a node has of what it follows, as it announces it.
public struct NodeHoldings: Codable, Sendable, Equatable {
    public struct Holding: Codable, Sendable, Equatable {
        public let model: String
        public let ref: String
        /// What the map says, as far as the node has heard; nil if the ref names nothing any more.
        public let wanted: Int?
        /// What loads get here; nil if there is nothing yet.
        public let held: Int?
        /// By its digest, which says more than a number.
        public let digest: ContentDigest?
        /// Bytes that have still to come.
        public let missing: Int

        public var isCurrent: Bool { wanted == held && held != nil }
    }

    public let name: String
    /// How it hears of changes: `watch` or `poll`.
    public let hears: String
    public let holdings: [Holding]
    /// Bytes of shards that came from peers, and from elsewhere, since the node was started.
    public let fromPeers: Int
    public let fromOrigin: Int
    /// What the last attempt to get current ended with, if it failed.
    public let failure: String?
}
