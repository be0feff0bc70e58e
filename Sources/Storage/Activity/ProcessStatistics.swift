import Support

/// The state of a living process that has a store open, as its last statistics have it.
///
/// A process writes them at most once a second, if they have changed. One that has lived for less than a second, or cannot
/// write to the store, has none.
public struct ProcessStatistics: Sendable, Equatable, Codable {
    /// A memory tier of the process.
    public struct Tier: Sendable, Equatable, Codable {
        /// Its name: `ram`, `cuda:0`.
        public var name: String
        /// The most bytes.
        public var budget: Int
        /// Bytes of resident shards: `leased` and `evictable`.
        public var bytes = 0
        /// Bytes of shards that are being loaded.
        public var loading = 0
        /// Bytes of shards that a lease holds.
        public var leased = 0
        /// Bytes of shards that may be evicted. Pins hold revisions on disk, and not in memory.
        public var evictable = 0
        /// The number of resident shards.
        public var shards = 0
        /// Uses of shards that were resident, since the tier was opened.
        public var hits = 0
        /// Uses of shards that had to be loaded, since the tier was opened.
        public var misses = 0
        /// Bytes loaded since the tier was opened.
        public var loaded = 0
        /// Shards evicted since the tier was opened.
        public var evictions = 0
        /// Loads that failed since the tier was opened.
        public var failures = 0
        /// The name of the eviction policy.
        public var policy = ""

        /// An empty tier.
        public init(name: String, budget: Int) {
            self.name = name
            self.budget = budget
        }
    }

    /// A fetch in progress.
    public struct Fetch: Sendable, Equatable, Codable {
        /// The model.
        public let model: String
        /// The URL of the origin, without secrets.
        public let origin: String
        /// When it began, in seconds since 1970.
        public let startedAt: Int
        /// Bytes that have arrived.
        public let bytes: Int
        /// Bytes that are to arrive, as far as that is known.
        public let total: Int

        /// A fetch.
        public init(model: String, origin: String, startedAt: Int, bytes: Int, total: Int) {
            self.model = model
            self.origin = origin
            self.startedAt = startedAt
            self.bytes = bytes
            self.total = total
        }
    }

    /// A revision that the process uses: it cannot be removed.
    public struct Hold: Sendable, Equatable, Codable {
        /// The name of the revision, `org/name@~3`; with the front of its digest if it has no version.
        public var revision: String
        /// The model.
        public let model: String
        /// The SHA-256 of the revision.
        public let digest: ContentDigest
        /// Bytes of the model that are leased, by the name of the tier. A shard that several models share counts for each.
        public let leased: [String: Int]
        /// The layers that are resident with all of their tensors, leased or not, by the name of the tier; a tier without
        /// one is left out. Nil if they are not known: the process has no statistics, its program is older, or it has not
        /// read the shards of the revision yet.
        public var layers: [String: ResidentLayers]?

        /// A use of a revision.
        public init(
            revision: String, model: String, digest: ContentDigest, leased: [String: Int],
            layers: [String: ResidentLayers]? = nil
        ) {
            self.revision = revision
            self.model = model
            self.digest = digest
            self.leased = leased
            self.layers = layers
        }
    }

    /// The process id.
    public let pid: Int
    /// The program and its subcommand or script: `weightstore serve`.
    public let program: String
    /// The version of WeightStore in it; empty if unknown.
    public let version: String
    /// The name of its user; empty if unknown.
    public let user: String
    /// When it opened the store, in seconds since 1970; nil if unknown.
    public let startedAt: Int?
    /// When the statistics were written, in seconds since 1970; nil if there are none.
    public var updatedAt: Int?
    /// The open memory tiers, sorted by name.
    public var tiers: [Tier] = []
    /// The fetches in progress, the oldest first.
    public var fetches: [Fetch] = []
    /// The revisions in use, sorted by name.
    public var holds: [Hold] = []
    /// What the process counted since it opened the store. Hits and misses of its tiers are up to a minute old; those of
    /// `tiers` are not.
    public var activity: [ActivityValue] = []

    /// A process without statistics.
    package init(pid: Int, program: String, version: String, user: String, startedAt: Int?) {
        self.pid = pid
        self.program = program
        self.version = version
        self.user = user
        self.startedAt = startedAt
    }

    /// This process.
    package init(_ identity: ProcessIdentity, startedAt: Int) {
        self.init(
            pid: identity.pid, program: identity.program, version: ProgramVersion.current, user: identity.user,
            startedAt: startedAt)
    }
}
