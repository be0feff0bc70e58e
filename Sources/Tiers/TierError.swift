/// What can go wrong in a memory tier.
public enum TierError: Error, Sendable, Equatable {
    /// The tier has no room: `requested` bytes are more than what can be evicted from the `budget` while `inUse` bytes are
    /// leased or being loaded.
    case full(tier: Tier, requested: Int, budget: Int, inUse: Int)
}

extension TierError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .full(let tier, let requested, let budget, let inUse):
            "\(tier): no room for \(requested) bytes: the budget is \(budget) bytes, and \(inUse) of them are in use. Release leases, or open the tier with a larger budget."
        }
    }
}
