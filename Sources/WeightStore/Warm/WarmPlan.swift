import Storage
import Tiers

/// The items that a warm-up loads into a tier, in order, and those that it leaves out.
public struct WarmPlan: Sendable, Encodable {
    /// The tier to warm.
    public let tier: Tier
    /// Bytes that the tier may hold.
    public let budget: Int
    /// In the order in which they are loaded.
    public internal(set) var items: [WarmItem] = []
    /// Items, or parts of items, that are not loaded.
    public internal(set) var skipped: [SkippedItem] = []
    /// The KV blocks that the engine computes, in this order, once the weights are loaded. They are loaded afterwards
    /// if there is room.
    public internal(set) var prefills: [PlannedPrefill] = []
    /// The number of used revisions beyond ``WarmRequest/top``.
    public internal(set) var beyondTop = 0
    /// Bytes to load into the tier.
    public internal(set) var bytes = 0
    /// Bytes of colder shards to evict for them.
    public internal(set) var evicted = 0

    var steps: [WarmStep] = []

    init(tier: Tier, budget: Int) {
        self.tier = tier
        self.budget = budget
    }

    private enum CodingKeys: String, CodingKey {
        case skipped = "leftOut"
        case beyondTop = "others"
        case tier, budget, items, prefills, bytes, evicted
    }

    /// Bytes to read from the disk, because the page cache does not hold them now.
    public var diskBytes: Int { items.saturatingSum(\.diskBytes) }
    /// Bytes to fetch from origins.
    public var fetchBytes: Int { items.saturatingSum(\.fetchBytes) }
}

/// An item of a plan: the weights of a revision, or the KV blocks of a prompt. All sizes are bytes.
public struct WarmItem: Sendable, Encodable {
    /// `org/name@~3`.
    public let revision: String
    /// The digest of the revision.
    public let digest: ContentDigest
    /// The prompt's name; nil for weights.
    public internal(set) var prompt: String?
    /// Expected uses: past uses, each halved for every day that has passed.
    public let uses: Double
    /// The expected savings, in seconds per gigabyte that the item adds to the tier.
    public internal(set) var benefit = 0.0
    /// Bytes of the item that are in the tier after the warm-up.
    public internal(set) var bytes = 0
    /// Of `bytes`, those that earlier items of the plan load.
    public internal(set) var shared = 0
    /// Of `bytes`, those that are in the tier before the warm-up.
    public internal(set) var resident = 0
    /// Of `added`, bytes to read from the disk, because the page cache does not hold them.
    public internal(set) var diskBytes = 0
    /// Of `added`, bytes to fetch from an origin.
    public internal(set) var fetchBytes = 0
    /// The number of layers (for a prompt, KV blocks) that are in the tier after the warm-up.
    public internal(set) var parts = 0
    /// The number of layers that were ever used; for a prompt, of KV blocks in the store.
    public internal(set) var allParts = 0

    /// Bytes to load.
    public var added: Int { bytes - shared - resident }

    let model: String

    init(_ revision: PopularRevision, prompt: String? = nil, uses: Double) {
        self.revision = revision.name
        model = revision.model
        digest = revision.digest
        self.prompt = prompt
        self.uses = uses
    }

    private enum CodingKeys: String, CodingKey {
        case revision, digest, prompt, uses, benefit, bytes, shared, resident, diskBytes, fetchBytes, parts, allParts
    }
}

/// An item, or a part of one, that a plan leaves out or that a warm-up failed to load.
public struct SkippedItem: Sendable, Encodable {
    /// Why the item was left out.
    public enum Reason: String, Sendable, Encodable {
        /// Hotter shards fill the budget, or computed KV blocks do not fit the quota or the disk.
        case doesNotFit = "noRoom"
        /// Evicted from the disk, and ``WarmRequest/fetches`` is false.
        case evicted
        /// Missing or quarantined, and no origin has it.
        case lost
        /// Never fetched.
        case neverFetched = "neverCame"
        /// KV blocks that must be computed by an engine.
        case notComputed
        /// A prompt with fewer tokens than a KV block.
        case tooShort
        /// An error; ``SkippedItem/message`` has its text.
        case failed
    }

    /// `org/name@~3`.
    public let revision: String
    /// The prompt's name; nil for weights.
    public let prompt: String?
    /// Bytes that are not loaded; 0 if unknown.
    public let bytes: Int
    /// The reason as a value.
    public let reason: Reason
    /// The reason as a sentence.
    public let message: String

    /// The revision, followed by the prompt's name if there is one.
    public var name: String { prompt.map { "\(revision) \($0)" } ?? revision }
}

/// Shards that are loaded together: those of one layer of a revision, those outside of its layers, or a KV block.
struct WarmStep: Sendable {
    /// The index of the item in the plan.
    let item: Int
    /// The shards that are not in the tier.
    let shards: [WarmShard]
    /// The shards that may be evicted for them.
    let victims: Set<ContentDigest>

    var bytes: Int { shards.saturatingSum(\.bytes) }
    /// The minimum of the shards' uses: no hotter shard is evicted for them.
    var uses: Double { shards.reduce(.infinity) { min($0, $1.uses) } }
}
