import Support

/// What an event is about.
public enum EventKind: String, Sendable, Codable, CaseIterable {
    /// A revision was imported; bytes: written.
    case imported = "import"
    /// Bytes of a model were fetched: a pull, or reads of what is not on disk. Count: shards; none for a pull
    /// from a hub.
    case fetched = "fetch"
    /// An eviction freed bytes; the detail has the policy. Count: shards or KV blocks.
    case evicted = "evict"
    /// Revisions were removed by rule; bytes: freed. Count: revisions.
    case pruned = "prune"
    /// Revisions or a model were removed by name; bytes: freed. Count: revisions.
    case removed = "remove"
    /// A collection removed garbage; bytes: freed. Count: items; the detail has their kinds.
    case collected = "gc"
    /// A ref was created, moved or removed; the detail has the revisions.
    case refMoved = "ref"
    /// A blob was found damaged or missing; the detail has the revisions that need it.
    case damaged = "damage"
    /// A damaged or missing blob was restored.
    case repaired = "repair"
    /// A quota was set; bytes: the new one.
    case quotaChanged = "quota"
    /// An origin failed, and another one is tried, or a read fails.
    case originFailed = "origin"
    /// The upstream of a server failed.
    case upstreamFailed = "upstream"
}

/// What happened in a store, and who did it.
public struct StoreEvent: Sendable, Equatable, Codable {
    /// Its number: later events have higher ones.
    public let id: Int
    /// The time, in seconds since 1970.
    public let at: Int
    /// What happened.
    public let kind: EventKind
    /// The model, revision, ref, shard or origin; empty if it is the store.
    public let subject: String
    /// The program and its subcommand or script: `weightstore pull`.
    public let program: String
    /// The process id.
    public let pid: Int
    /// The name of the user of the process.
    public let user: String
    /// The bytes; nil if the event is not about a size.
    public let bytes: Int?
    /// The number of things; nil if there is only one.
    public let count: Int?
    /// Further facts in a few words; may be empty.
    public let detail: String

    /// The count with its noun, for people: `12 shards`; nil if there is no count.
    public var countText: String? { count.map { Quantity.count($0, noun) } }

    /// What `count` counts.
    private var noun: String {
        switch kind {
        case .fetched: "shard"
        case .evicted: subject == QuotaKind.kv.place ? "KV block" : "shard"
        case .pruned, .removed: "revision"
        case .imported, .collected, .refMoved, .damaged, .repaired, .quotaChanged, .originFailed, .upstreamFailed:
            "item"
        }
    }

    /// An event of this process, now. The catalog gives it its number.
    package init(_ kind: EventKind, _ subject: String, bytes: Int? = nil, count: Int? = nil, detail: String = "") {
        let process = ProcessIdentity.current
        self.init(
            id: 0, at: StoreClock.now, kind: kind, subject: subject.withoutURLSecrets, program: process.program,
            pid: process.pid, user: process.user, bytes: bytes, count: count, detail: detail.withoutURLSecrets)
    }

    init(
        id: Int, at: Int, kind: EventKind, subject: String, program: String, pid: Int, user: String, bytes: Int?,
        count: Int?, detail: String
    ) {
        self.id = id
        self.at = at
        self.kind = kind
        self.subject = subject
        self.program = program
        self.pid = pid
        self.user = user
        self.bytes = bytes
        self.count = count
        self.detail = detail
    }
}
