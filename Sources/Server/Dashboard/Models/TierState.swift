/// The state of a tier, as the dashboard shows it: one bar.
struct TierState: Sendable, Encodable {
    /// What the bytes of a part are.
    enum Kind: String, Sendable, Encodable, CaseIterable {
        case leased, pinned, evictable, onlyCopy, loading, other, free

        /// The word for people.
        var label: String {
            switch self {
            case .leased: "Leased"
            case .pinned: "Pinned"
            case .evictable: "Evictable"
            case .onlyCopy: "Only copy"
            case .loading: "Loading"
            case .other: "Stored"
            case .free: "Free"
            }
        }

        /// The meaning, in a sentence.
        var meaning: String {
            switch self {
            case .leased: "A live process uses them."
            case .pinned: "A pin holds their revision."
            case .evictable: "An origin has them, too."
            case .onlyCopy: "No checked origin has them."
            case .loading: "Being copied into the tier."
            case .other: "Not divided yet: the sum over all shards takes a moment."
            case .free: "Below the limit of the tier."
            }
        }

        /// The name of its style and of its pattern.
        var style: String { self == .onlyCopy ? "only" : rawValue }
    }

    struct Part: Sendable, Encodable {
        let kind: Kind
        let bytes: Int
    }

    /// Whether the tier needs attention, and why.
    enum Health: String, Sendable, Encodable {
        case good, warning, critical
    }

    /// A limit at which something begins or ends.
    struct Mark: Sendable, Encodable {
        let label: String
        let bytes: Int
    }

    /// `disk`, `ram`, `cuda:0`.
    let name: String
    /// The name for people.
    let label: String
    /// The quota or budget; nil without one.
    let limit: Int?
    /// All bytes of shards in the tier.
    let used: Int
    let parts: [Part]
    let marks: [Mark]
    let health: Health
    /// The reasons of the health.
    let reasons: [String]
    /// Further facts, such as the free bytes of the disk.
    let notes: [String]
}

/// A process that has the store open.
struct ProcessState: Sendable, Encodable {
    /// The program and the process id.
    let name: String
    /// When it opened the store, in seconds since 1970; nil if that is not known.
    let opened: Int?
    /// Its tiers, and what they hold.
    let tiers: [String]
}
