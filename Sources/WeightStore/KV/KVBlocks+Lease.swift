import Storage
import Tiers

extension KVBlocks {
    /// Leases the stored blocks of a prefix in a tier. Absent blocks are loaded; concurrent misses share one load. A
    /// hit on blocks that were leased before reads neither the catalog nor the disk.
    ///
    /// The lease holds the blocks up to the first one that is not stored: fewer than the prefix has if blocks were
    /// dropped since the prefix was found, or are damaged; possibly none.
    ///
    /// - Parameters:
    ///   - tier: where the blocks are leased.
    ///   - prefix: the result of ``longestPrefix(of:)-([UInt32])``, or any prefix of a chain
    ///     (``KVChain/prefix(_:)``).
    /// - Throws: ``TierError/full(tier:requested:budget:inUse:)``, in which case a shorter prefix may fit;
    ///   `DeviceError`, `CancellationError`; ``StorageError/foreignBlobs(path:found:)`` if the blobs are not mounted.
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

    /// The blocking form of ``lease(_:in:)``, for threads outside of Swift's cooperative pool.
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
        let shards = tier.reference(try shards(of: prefix), model: revision.model)
        return ShardGroup(referencing: shards, in: tier, hold: revision.hold)
    }

    /// Drops a block that is missing or damaged, and all of its descendants.
    ///
    /// - Throws: any other error.
    private func dropLost(_ error: StorageError) throws {
        switch error {
        case .missing(_, let digest): try drop(digest, isMissing: true, error)
        case .damaged(_, let digest, _, _): try drop(digest, isMissing: false, error)
        default: throw error
        }
    }

    private func drop(_ digest: ContentDigest, isMissing: Bool, _ error: StorageError) throws {
        forgetSeen()
        // Not logged if it was dropped on purpose meanwhile.
        if try store.dropKVBlock(digest, isMissing: isMissing) > 0 {
            store.logger.warning("dropped a bad KV block: \(error)")
        }
    }
}
