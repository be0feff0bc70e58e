import Storage

/// Errors of memory tiers.
public enum TierError: Error, Sendable, Equatable {
    /// The tier has no space for `requested` bytes: of its `budget`, `inUse` bytes are leased or loading, and evicting
    /// the others does not suffice.
    case full(tier: Tier, requested: Int, budget: Int, inUse: Int)
    /// The tier was closed; open it again to use it.
    case closed(tier: Tier)
    /// A shard has so many leases that no further one can be counted: leases are not released.
    case tooManyLeases(tier: Tier, digest: ContentDigest, leases: Int)
}

extension TierError: CustomStringConvertible {
    /// The tier, its use and the next step.
    public var description: String {
        switch self {
        case .full(let tier, let requested, let budget, let inUse):
            """
            \(tier): no space for \(requested) bytes: \(inUse) of the budget of \(budget) bytes are in use. Release \
            leases, or open the tier with a larger budget.
            """
        case .closed(let tier): "\(tier): the tier was closed. Open it again before it is used."
        case .tooManyLeases(let tier, let digest, let leases):
            "\(tier): shard \(digest.short) has \(leases) leases, the limit. Release leases."
        }
    }
}
