/// The order in which a memory tier evicts shards.
///
/// `lru` is a sort in Swift; a test compares it with `lru.sql`. Every other policy runs in SQL, over the same columns
/// as on disk.
package enum EvictionOrder: Sendable {
    case leastRecentlyUsed
    case policy(PolicyOrder)

    /// - Throws: ``PolicyError/refused(policy:line:message:)``.
    package init(_ policy: Policy) throws {
        self = policy == .lru ? .leastRecentlyUsed : .policy(try PolicyOrder(policy))
    }

    /// The name of the policy.
    package var name: String {
        switch self {
        case .leastRecentlyUsed: Policy.lru.name
        case .policy(let order): order.policy.name
        }
    }
}
