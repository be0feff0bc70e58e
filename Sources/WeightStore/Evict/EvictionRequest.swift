import GRDB
import Glibc
import Policies
import Storage

/// The amount to evict from the disk, and the policy that chooses the shards.
public struct EvictionRequest: Sendable {
    /// The amount to evict.
    public enum Amount: Sendable {
        /// Free this many bytes, regardless of the quota.
        case free(Int)
        /// Evict until at most this many bytes are stored.
        case downTo(Int)
        /// Evict as the quota requires: if above the high watermark, down to the low one.
        case quota
    }

    /// The amount to evict.
    public var amount: Amount
    /// Whether to evict shards of weights or KV blocks.
    public var kind = QuotaKind.weights
    /// The policy; nil means the quota's.
    public var policy: Policy?
    /// Whether nothing is evicted, and the summary says what would be.
    public var dryRun = false
    /// The time limit of the policy.
    public var seconds = 10.0
    /// A KV block that is not evicted, and so none of the blocks before it.
    var excluded: Int64?

    /// A request with the quota's policy.
    public init(_ amount: Amount, of kind: QuotaKind = .weights) {
        self.amount = amount
        self.kind = kind
    }
}

/// The result of an eviction, or of its dry run.
public struct EvictionSummary: Sendable, Codable {
    /// The name of the policy that chose the shards; `lru` if the other was rejected.
    public internal(set) var policy: String
    /// Bytes to free.
    public internal(set) var requested: Int
    /// The number of shards or KV blocks evicted.
    public internal(set) var shards = 0
    /// Bytes freed on the disk.
    public internal(set) var bytes = 0
    /// Bytes stored after the eviction.
    public internal(set) var stored: Int
    /// The run time of the policy.
    public internal(set) var seconds = 0.0
    /// Revisions whose shards stayed because their origins could not be checked.
    public internal(set) var unchecked: [OriginCheckOutcome] = []
    /// Why a policy was rejected; nil if none was.
    public internal(set) var rejection: String?

    private enum CodingKeys: String, CodingKey {
        case policy, shards, bytes, stored, seconds, unchecked
        case requested = "wanted"
        case rejection = "refused"
    }
}

/// A shard that a policy would evict, with its row of the view `candidate`.
public struct EvictionCandidate: Sendable, Codable {
    /// The shard's row id.
    public let shard: Int64
    /// The SHA-256 of the shard.
    public let digest: ContentDigest
    /// The shard's size.
    public let bytes: Int
    /// The time of the last access, in seconds since 1970.
    public let lastAccess: Int
    /// The number of accesses.
    public let accesses: Int
    /// The number of accesses, each halved for every day since.
    public let heat: Double
    /// The measured or estimated duration of a fetch.
    public let fetchSeconds: Double
    /// The transformer block; nil if the shard belongs to none.
    public let layer: Int?
    /// The contents of the shard.
    public let kind: ShardKind
    /// The number of models that hold the shard.
    public let models: Int
    /// For a KV block, the number of blocks before it; otherwise 0.
    public let depth: Int
    /// The policy's priority; nil if it has none.
    public let priority: Double?
}
