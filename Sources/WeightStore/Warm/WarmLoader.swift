import Storage
import Tiers

/// Loads the steps of a plan into a tier.
struct WarmLoader {
    /// Concurrent steps: enough to keep the tier's readers busy, few enough to load nearly in the plan's order.
    static let stepsAtOnce = 3

    /// The step was skipped because an earlier step of the same item failed.
    struct Stopped: Error {}

    private let memory: MemoryTier
    private let revision: Revision
    private let wanted: Set<ContentDigest>

    /// - Parameter wanted: the shards of the whole plan, which are never evicted for it.
    init(_ memory: MemoryTier, _ revision: Revision, _ wanted: Set<ContentDigest>) {
        self.memory = memory
        self.revision = revision
        self.wanted = wanted
    }

    func load(_ step: WarmStep, of item: WarmItem) async throws {
        let shards = item.prompt == nil ? weights(step) : blocks(step)
        let group = ShardGroup(referencing: shards, in: memory, hold: revision.hold)
        memory.remember(zip(shards, step.shards).map { (shard: $0, heat: $1.uses) })
        let uses = step.uses
        // A victim of the plan may have become hotter since the plan was made.
        let warming = WarmUpRules { [wanted] resident in
            resident.isWhole && step.victims.contains(resident.digest) && !wanted.contains(resident.digest)
                && resident.heat(at: StoreClock.coarse) < uses
        }
        do {
            try await PendingLease(group, warming: warming).value().release()
        } catch StorageError.missing(let path, let digest) where item.prompt != nil {
            // A row without a blob is dropped, so that the block is computed again.
            try revision.store.dropKVBlock(digest, isMissing: true)
            throw StorageError.missing(path: path, digest: digest)
        }
    }

    private func weights(_ step: WarmStep) -> [ResidentShard] {
        step.shards.map { memory.residentShard($0.digest, bytes: $0.bytes, layer: $0.layer, model: revision.model) }
    }

    private func blocks(_ step: WarmStep) -> [ResidentShard] {
        memory.reference(
            step.shards.map { KVShard(digest: $0.digest, bytes: $0.bytes, depth: $0.layer ?? 0) }, model: revision.model
        )
    }
}
