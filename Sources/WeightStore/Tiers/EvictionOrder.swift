/// In which order a memory tier's shards go.
///
/// `lru` is ranked here, by a sort; a test holds it against `lru.sql`. Every other policy is asked in SQL, over the same
/// columns that it sees on disk.
enum EvictionOrder: Sendable {
    case leastRecentlyUsed
    case policy(PolicyOrder)

    init(_ policy: Policy) throws {
        self = policy == .lru ? .leastRecentlyUsed : .policy(try PolicyOrder(policy))
    }

    var name: String {
        switch self {
        case .leastRecentlyUsed: Policy.lru.name
        case .policy(let order): order.policy.name
        }
    }
}

/// A resident shard, as a policy sees it.
struct EvictionFacts {
    let bytes: Int
    /// Seconds since 1970.
    let lastAccess: Double
    let accessCount: Int
    /// As of `lastAccess`.
    let heat: Double
    let clock: Double
    /// Seconds since 1970.
    let insertedAt: Double
    let fetchSeconds: Double
    let layer: Int?
    let kind: String
    let modelCount: Int
    /// Of a KV block: how many blocks come before it; otherwise 0.
    var depth = 0
    /// Of a KV block: how many blocks build on it, of those that may go; otherwise 0.
    var children = 0
}
