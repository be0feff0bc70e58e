/// In which order a memory tier's shards go.
///
/// `lru` is ranked here, by a sort; a test holds it against `lru.sql`. Every other policy runs in SQL, over the same
/// columns that it sees on disk.
package enum EvictionOrder: Sendable {
    case leastRecentlyUsed
    case policy(PolicyOrder)

    package init(_ policy: Policy) throws {
        self = policy == .lru ? .leastRecentlyUsed : .policy(try PolicyOrder(policy))
    }

    package var name: String {
        switch self {
        case .leastRecentlyUsed: Policy.lru.name
        case .policy(let order): order.policy.name
        }
    }
}
