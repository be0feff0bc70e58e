import Storage
import Tiers

extension KVBlocks {
    /// Blocks of a prefix in a tier, as far as they are here: brought in where they are not in the tier yet, once for all who
    /// ask at the same time. What was leased before and is still in the tier is had without asking catalog or disk. If
    /// blocks have been dropped since the prefix was found, or are found damaged, the lease holds fewer; without any it is
    /// empty.
    ///
    /// - Parameter prefix: such as ``longestPrefix(of:)-([UInt32])`` finds, or all of a chain (``KVChain/prefix(_:)``).
    /// - Throws: ``TierError/full(tier:requested:budget:inUse:)``; a shorter prefix may fit. `DeviceError`,
    ///   `CancellationError`.
    public func lease(_ prefix: KVPrefix, in tier: Tier) async throws -> KVLease {
        try countPrompts(prefix)
        while true {
            let group = try group(prefix, in: tier)
            do {
                return KVLease(try await group.lease(), blockTokens: blockTokens)
            } catch let error as StorageError {
                try dropLost(error)
            }
        }
    }

    /// As ``lease(_:in:)``, for callers on threads of their own: blocks.
    public func leaseBlocking(_ prefix: KVPrefix, in tier: Tier) throws -> KVLease {
        try countPrompts(prefix)
        while true {
            let group = try group(prefix, in: tier)
            do {
                return KVLease(try group.leaseBlocking(), blockTokens: blockTokens)
            } catch let error as StorageError {
                try dropLost(error)
            }
        }
    }

    private func group(_ prefix: KVPrefix, in tier: Tier) throws -> ShardGroup {
        let tier = try store.tiers.open(tier)
        let shards = tier.visit(try shards(of: prefix), model: revision.model)
        return ShardGroup(visiting: shards, in: tier, hold: revision.hold)
    }

    /// Drops a block whose bytes can't be had any more, with those that build on it.
    ///
    /// - Throws: the error, if it is another one.
    private func dropLost(_ error: StorageError) throws {
        switch error {
        case .missing(_, let digest), .damaged(_, let digest, _, _):
            forgetSeen()
            // Somebody else may have dropped it since it was seen: then there is nothing to say.
            if try store.dropKVBlock(digest) > 0 { store.logger.warning("a KV block was lost: \(error)") }
        default: throw error
        }
    }
}
