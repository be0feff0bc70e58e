import Storage

/// The shards that are leased together, such as those of a layer, in one tier.
package final class ShardGroup: Sendable {
    package let tier: MemoryTier
    package let layer: Int?
    package let shards: [Residency]
    package let tensors: [LeasedTensor]
    /// The sum of the tensors' bytes.
    package let bytes: Int
    /// Whether the tier may forget the shards when the group has gone.
    private let isVisit: Bool
    /// Keeps the revision from being removed.
    private let hold: RevisionHold

    package init(_ tensors: [LeasedTensor], layer: Int?, in tier: MemoryTier, hold: RevisionHold) {
        self.tier = tier
        self.layer = layer
        self.tensors = tensors
        self.hold = hold
        isVisit = false
        bytes = tensors.reduce(0) { $0 + $1.entry.bytes }
        var seen: Set<ObjectIdentifier> = []
        shards = tensors.compactMap(\.shard).filter { seen.insert(ObjectIdentifier($0)).inserted }
    }

    /// KV blocks, in order; or shards that are warmed, whatever they hold.
    ///
    /// - Parameter shards: visited in the tier; the group leaves them when it goes.
    package init(visiting shards: [Residency], in tier: MemoryTier, hold: RevisionHold) {
        self.tier = tier
        self.shards = shards
        self.hold = hold
        layer = nil
        tensors = []
        bytes = shards.reduce(0) { $0 + $1.bytes }
        isVisit = true
    }

    deinit { if isVisit { tier.leave(shards) } }

    /// One of the tensors alone.
    package func one(_ tensor: LeasedTensor) -> ShardGroup {
        ShardGroup([tensor], layer: tensor.entry.layer, in: tier, hold: hold)
    }

    /// The hit: leases on all shards, if all are there.
    func leaseIfReady() -> Lease? {
        for shard in shards where shard.phase != .ready { return nil }
        let now = StoreClock.coarse
        for index in shards.indices where !shards[index].leaseIfReady(at: now) {
            for held in shards[..<index] { tier.release(held) }
            tier.roomMayBe()
            return nil
        }
        return Lease(self)
    }

    /// Leases on all shards, which are brought in where they are not there.
    package func lease() async throws -> Lease {
        if let lease = leaseIfReady() { return lease }
        return try await PendingLease(self).value()
    }

    /// As `lease`, for callers on threads of their own: blocks.
    package func leaseBlocking() throws -> Lease {
        if let lease = leaseIfReady() { return lease }
        return try PendingLease(self).wait()
    }

    package func release() {
        for shard in shards { tier.release(shard) }
    }
}
