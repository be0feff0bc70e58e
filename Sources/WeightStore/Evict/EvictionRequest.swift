import GRDB
import Glibc
import Policies
import Storage

/// How much to evict from the disk, and how to choose.
public struct EvictionRequest: Sendable {
    public enum Amount: Sendable {
        /// Bytes to free, whatever the quota.
        case free(Int)
        /// Bytes that may stay.
        case downTo(Int)
        /// As the quota says: above the high watermark, down to the low one.
        case quota
    }

    public var amount: Amount
    /// What is to go: shards of weights, or KV blocks.
    public var kind = QuotaKind.weights
    /// nil means the quota's.
    public var policy: Policy?
    /// Say what would go, and evict nothing.
    public var dryRun = false
    /// Seconds that the policy may take.
    public var seconds = 10.0
    /// A KV block that stays, and so all before it.
    var spared: Int64?

    public init(_ amount: Amount, of kind: QuotaKind = .weights) {
        self.amount = amount
        self.kind = kind
    }
}

/// What an eviction did, or would do.
public struct EvictionSummary: Sendable, Codable {
    /// The policy that chose; the default, if the other was refused.
    public internal(set) var policy: String
    /// Bytes that were to be freed.
    public internal(set) var wanted: Int
    public internal(set) var shards = 0
    /// Bytes of those shards: what the disk gets back.
    public internal(set) var bytes = 0
    /// Bytes that are stored now, or would be.
    public internal(set) var stored: Int
    /// Seconds that the policy took.
    public internal(set) var seconds = 0.0
    /// What a policy was refused for.
    public internal(set) var refused: String?
}

/// A shard that a policy would evict, with its numbers.
public struct EvictionCandidate: Sendable, Codable {
    public let shard: Int64
    public let digest: ContentDigest
    public let bytes: Int
    public let lastAccess: Int
    public let accesses: Int
    public let heat: Double
    public let fetchSeconds: Double
    public let layer: Int?
    public let kind: ShardKind
    public let models: Int
    /// Of a KV block: how many blocks come before it; otherwise 0.
    public let depth: Int
    public let priority: Double?
}
