/// What a warm-up brings into a tier, in its order, and what it leaves out.
public struct WarmPlan: Sendable, Encodable {
    public let tier: Tier
    /// Bytes that the tier may hold.
    public let budget: Int
    /// In the order in which they are warmed.
    public internal(set) var revisions: [WarmedRevision] = []
    public internal(set) var leftOut: [LeftOut] = []
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
        case tier, budget, revisions, leftOut, others, bytes, evicted
    }

    /// Bytes that must be read from the disk, for all that the page cache holds now.
    public var diskBytes: Int { revisions.reduce(0) { $0 + $1.diskBytes } }
    /// Bytes that must be fetched from origins.
    public var fetchBytes: Int { revisions.reduce(0) { $0 + $1.fetchBytes } }
}

/// A revision in a plan. All sizes are bytes.
public struct WarmedRevision: Sendable, Encodable {
    /// `org/name@v3`.
    public let revision: String
    public let digest: Digest
    /// Expected uses: those of the past, each halved for every day that has passed.
    public let uses: Double
    /// Seconds that having it in the tier is expected to save, per gigabyte that it adds.
    public let benefit: Double
    /// What of it is in the tier in the end.
    public internal(set) var bytes = 0
    /// Of these, what a revision before it brings along.
    public internal(set) var shared = 0
    /// Of these, what is in the tier already.
    public internal(set) var resident = 0
    /// Of what is to be brought in, what must be read from the disk because the page cache does not hold it,
    public internal(set) var diskBytes = 0
    /// and what must be fetched from an origin.
    public internal(set) var fetchBytes = 0
    /// The layers that are there in the end, of all that were ever used.
    public internal(set) var layers = 0
    public internal(set) var allLayers = 0

    /// What is to be brought in.
    public var added: Int { bytes - shared - resident }
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
        /// Something went wrong.
        case failed
    }

    /// `org/name@v3`.
    public let revision: String
    public let bytes: Int
    public let reason: Reason
    /// The reason in a sentence.
    public let message: String
}

/// Shards that come in together: those of one layer of a revision, or what it has outside its layers.
struct WarmStep: Sendable {
    /// The revision's place in the plan.
    let revision: Int
    /// The shards that are not in the tier.
    let shards: [WarmShard]
    /// What they may take the place of.
    let victims: Set<Digest>

    var bytes: Int { shards.reduce(0) { $0 + $1.bytes } }
    /// The least uses of them: nothing hotter goes for them.
    var uses: Double { shards.reduce(.infinity) { min($0, $1.uses) } }
}
