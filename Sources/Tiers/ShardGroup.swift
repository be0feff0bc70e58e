import Storage
import Support

/// Shards of one tier that are leased together, such as those of a layer.
package final class ShardGroup: Sendable {
    package let tier: MemoryTier
    package let layer: Int?
    package let shards: [ResidentShard]
    package let tensors: [LeasedTensor]
    /// The total size of the tensors, or of the referenced shards, in bytes.
    package let bytes: Int
    /// Whether the group ends the references to the shards in its `deinit`.
    private let ownsReferences: Bool
    /// Keeps the revision from removal.
    private let hold: RevisionHold

    /// The shards of tensors, each once.
    package init(_ tensors: [LeasedTensor], layer: Int?, in tier: MemoryTier, hold: RevisionHold) {
        self.tier = tier
        self.layer = layer
        self.tensors = tensors
        self.hold = hold
        ownsReferences = false
        bytes = tensors.saturatingSum(\.entry.bytes)
        var shards: [ResidentShard] = []
        var seen: Set<ObjectIdentifier> = []
        for tensor in tensors {
            // Neighbours are often in one shard.
            guard let shard = tensor.shard, shard !== shards.last else { continue }
            if seen.insert(ObjectIdentifier(shard)).inserted { shards.append(shard) }
        }
        self.shards = shards
    }

    /// The shards of KV blocks, in order, of a warm-up, or of a lease whose tensors are not known yet.
    ///
    /// - Parameter shards: the result of `MemoryTier.reference`; the group calls `unreference` in its `deinit`.
    package init(referencing shards: [ResidentShard], in tier: MemoryTier, hold: RevisionHold) {
        self.tier = tier
        self.shards = shards
        self.hold = hold
        layer = nil
        tensors = []
        bytes = shards.saturatingSum(\.bytes)
        ownsReferences = true
    }

    deinit { if ownsReferences { tier.unreference(shards) } }

    /// A group of one of the tensors.
    package func one(_ tensor: LeasedTensor) -> ShardGroup {
        ShardGroup([tensor], layer: tensor.entry.layer, in: tier, hold: hold)
    }

    /// Whether another group has the same shards, in any order.
    func hasShards(of other: ShardGroup) -> Bool {
        shards.count == other.shards.count
            && Set(shards.map(ObjectIdentifier.init)) == Set(other.shards.map(ObjectIdentifier.init))
    }

    /// The same tensors, for a holder that maps the shards itself.
    package func unmapped() -> ShardGroup {
        var last: (mapped: ResidentShard, unmapped: ResidentShard)?
        let unmapped = tensors.map { tensor -> LeasedTensor in
            guard let shard = tensor.shard else { return tensor }
            // Neighbours are often in one shard.
            let known = last.flatMap { $0.mapped === shard ? $0.unmapped : nil } ?? tier.unmappedShard(of: shard)
            last = (shard, known)
            return LeasedTensor(tensor, shard: known)
        }
        return ShardGroup(unmapped, layer: layer, in: tier, hold: hold)
    }

    /// The hit: leases all shards if all are ready; nil otherwise.
    func leaseIfReady() -> Lease? {
        for shard in shards where shard.phase != .ready { return nil }
        let now = StoreClock.coarse
        for index in shards.indices where !shards[index].leaseIfReady(at: now) {
            for held in shards[..<index] { tier.release(held) }
            tier.retryWaitingRequests()
            return nil
        }
        return Lease(self)
    }

    /// Leases all shards, loading absent ones.
    package func lease() async throws -> Lease {
        try tier.requireOpen()
        if let lease = leaseIfReady() { return lease }
        return try await PendingLease(self).value()
    }

    /// As `lease`, but blocks the calling thread.
    ///
    /// - Parameter work: cancelling it ends the wait with `CancellationError`. What is resident is leased all the same.
    package func leaseBlocking(_ work: Work? = nil) throws -> Lease {
        try tier.requireOpen()
        if let lease = leaseIfReady() { return lease }
        // Shards that are not mapped need only their files, so the request may be over at once.
        if !shards.allSatisfy(\.isUnmapped) { try work?.check() }
        let pending = PendingLease(self)
        let handler = work?.onCancel { pending.cancel() }
        defer { withExtendedLifetime(handler) {} }
        return try pending.wait()
    }

    /// Releases one lease on each shard.
    package func release() {
        for shard in shards { tier.release(shard) }
    }
}
