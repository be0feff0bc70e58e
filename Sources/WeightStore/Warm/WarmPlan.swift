import Storage
import Tiers

/// What a warm-up brings into a tier, in its order, and what it leaves out.
public struct WarmPlan: Sendable, Encodable {
    public let tier: Tier
    /// Bytes that the tier may hold.
    public let budget: Int
    /// In the order in which they are warmed.
    public internal(set) var items: [WarmItem] = []
    public internal(set) var leftOut: [LeftOut] = []
    /// The KV blocks that an engine is asked for, in this order, once the weights are in. They come in after that, as far
    /// as there is room.
    public internal(set) var prefills: [PlannedPrefill] = []
    /// Revisions that were used, and that are not among the first so many that were asked for.
    public internal(set) var others = 0
    /// Bytes to be brought into the tier.
    public internal(set) var bytes = 0
    /// Bytes of colder shards that make room for them.
    public internal(set) var evicted = 0

    var steps: [WarmStep] = []

    init(tier: Tier, budget: Int) {
        self.tier = tier
        self.budget = budget
    }

    private enum CodingKeys: String, CodingKey {
        case tier, budget, items, leftOut, prefills, others, bytes, evicted
    }

    /// Bytes that must be read from the disk, for all that the page cache holds now.
    public var diskBytes: Int { items.reduce(0) { $0 + $1.diskBytes } }
    /// Bytes that must be fetched from origins.
    public var fetchBytes: Int { items.reduce(0) { $0 + $1.fetchBytes } }
}

/// What a plan warms: the weights of a revision, or the KV blocks of a prompt. All sizes are bytes.
public struct WarmItem: Sendable, Encodable {
    /// `org/name@v3`.
    public let revision: String
    public let digest: ContentDigest
    /// The prompt's name; nil for weights.
    public internal(set) var prompt: String?
    /// Expected uses: those of the past, each halved for every day that has passed.
    public let uses: Double
    /// Seconds that having it in the tier is expected to save, per gigabyte that it adds.
    public internal(set) var benefit = 0.0
    /// What of it is in the tier in the end.
    public internal(set) var bytes = 0
    /// Of these, what an item before it brings along.
    public internal(set) var shared = 0
    /// Of these, what is in the tier already.
    public internal(set) var resident = 0
    /// Of what is to be brought in, what must be read from the disk because the page cache does not hold it,
    public internal(set) var diskBytes = 0
    /// and what must be fetched from an origin.
    public internal(set) var fetchBytes = 0
    /// The layers that are there in the end; of a prompt, its KV blocks.
    public internal(set) var parts = 0
    /// Of so many: the layers that were ever used, the blocks that are in the store.
    public internal(set) var allParts = 0

    /// What is to be brought in.
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

/// Something that a plan leaves out, and why.
public struct LeftOut: Sendable, Encodable {
    public enum Reason: String, Sendable, Encodable {
        /// The budget is full of what is hotter.
        case noRoom
        /// Evicted from the disk, and nothing is to be fetched.
        case evicted
        /// Gone or set aside, and no origin has it.
        case lost
        /// Bytes that have never come.
        case neverCame
        /// KV blocks that only an engine can compute.
        case notComputed
        /// A prompt with less tokens than a KV block.
        case tooShort
        /// Something went wrong.
        case failed
    }

    /// `org/name@v3`.
    public let revision: String
    /// nil for weights.
    public let prompt: String?
    public let bytes: Int
    public let reason: Reason
    /// The reason in a sentence.
    public let message: String

    /// What a person calls it.
    public var name: String { prompt.map { "\(revision) \($0)" } ?? revision }
}

/// Shards that come in together: those of one layer of a revision, what it has outside its layers, or a KV block.
struct WarmStep: Sendable {
    /// The item's place in the plan.
    let item: Int
    /// The shards that are not in the tier.
    let shards: [WarmShard]
    /// What they may take the place of.
    let victims: Set<ContentDigest>

    var bytes: Int { shards.reduce(0) { $0 + $1.bytes } }
    /// The least uses of them: nothing hotter goes for them.
    var uses: Double { shards.reduce(.infinity) { min($0, $1.uses) } }
}
