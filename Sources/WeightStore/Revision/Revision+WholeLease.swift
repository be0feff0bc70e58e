import Storage
import Support
import Tiers

/// Leases of all tensors of a revision or of a file. The first one begins the loads before it reads the tensors from the
/// catalog: the shards are fewer, so that disk and processor work at the same time.
extension Revision {
    /// Leases all tensors of the revision. Throws as ``lease(layer:of:in:)``.
    public func lease(in tier: Tier) async throws -> Lease {
        let begun = try beginLoad(in: tier)
        return try await withTaskCancellationHandler {
            let group = try await fetchedGroup(.all, in: tier)
            if let begun, begun.replaceGroup(by: group) { return try await begun.value() }
            return try await group.lease()
        } onCancel: {
            begun?.cancel()
        }
    }

    /// The blocking form of ``lease(in:)``, for threads outside of Swift's cooperative pool. Cancelling
    /// `work` ends it with `CancellationError`.
    public func leaseBlocking(in tier: Tier, work: Work? = nil) throws -> Lease {
        try leaseBlocking(.all, begun: beginLoad(in: tier), in: tier, work)
    }

    /// Leases all tensors of a file. Blocks; for threads outside of Swift's cooperative pool. Cancelling
    /// `work` ends it with `CancellationError`.
    public func leaseBlocking(file: String, in tier: Tier, work: Work? = nil) throws -> Lease {
        try leaseBlocking(.file(ByteText(file)), begun: beginLoad(ofFile: file, in: tier), in: tier, work)
    }

    private func leaseBlocking(
        _ part: RevisionView.Part, begun: PendingLease?, in tier: Tier, _ work: Work?
    ) throws -> Lease {
        let handler = work?.onCancel { begun?.cancel() }
        defer { withExtendedLifetime(handler) {} }
        let group = try view(in: tier).part(part, missWork(within: work))
        if let begun, begun.replaceGroup(by: group) { return try begun.wait() }
        return try group.leaseBlocking(work)
    }

    /// Begins to load the shards of all tensors, or of those of a file. Releasing the result cancels the loads.
    ///
    /// The shards are those of the kinds that hold tensors. `PendingLease.replaceGroup(by:)` compares them with the shards
    /// of the tensors: another revision may hold the same bytes as a file, and then they have that kind.
    ///
    /// - Returns: nil if the tensors are known already, or if bytes of the revision were never fetched.
    private func beginLoad(ofFile path: String? = nil, in tier: Tier) throws -> PendingLease? {
        if views.contains(tier) { return nil }
        let weights = try store.catalog.read { db in
            try RevisionTable.isPending(id, db) ? [] : ShardTable.weights(of: id, path: path, db)
        }
        if weights.isEmpty { return nil }
        let memory = try store.tiers.open(tier)
        let shards = weights.map { shard in
            memory.residentShard(
                shard.digest, bytes: shard.bytes, layer: shard.layer, kind: shard.kind, model: hold.model)
        }
        return PendingLease(ShardGroup(referencing: shards, in: memory, hold: hold))
    }
}
