import Policies
import Storage
import Support
import Synchronization

/// A memory tier: shards whose bytes are in RAM or in a device's memory, under a budget, keyed by digest.
///
/// A shard that several models use is resident once. Concurrent requests for one shard share one load. When the budget
/// is exceeded, shards are evicted in the order of the tier's policy; a leased shard is never evicted. A shard without
/// a file is fetched first.
///
/// An expert in a tensor that stacks all experts of a layer is a range of a shard, and is resident on its own, as if it
/// were a shard. If the whole shard is resident, too, both count.
///
/// Invariants whenever the lock is free: `resident` is the total size of the ready shards, `loading` that of the
/// loading shards, and `resident + loading ≤ budget`.
///
/// A hit does not use the lock: it is one atomic operation on each `ResidentShard`.
package final class MemoryTier: UseSource {
    /// A load in progress.
    package struct InFlightLoad {
        package let shard: ResidentShard
        /// The requests that wait for the load. Cancelling the last one cancels the load.
        package var requests: [LeaseRequest] = []
        package let work = Work()
    }

    /// The state under the tier's lock.
    package struct State {
        /// The bytes of the ready shards.
        package var resident = 0
        /// The bytes of the loading shards.
        package var loading = 0
        package var table: [ResidentShard.Key: ResidentShard] = [:]
        var inFlight: [ResidentShard.Key: InFlightLoad] = [:]
        /// The requests that wait for space.
        var waiting = WaitQueue()
        /// The uses that waited for a load. A request whose load fails, or that is cancelled, is none.
        package var misses = 0
        /// The bytes loaded since the tier was opened.
        package var loaded = 0
        package var evictions = 0
        package var failures = 0
        /// The uses that were moved here from the shards.
        package var uses = 0
        package var order: EvictionOrder
        package var clock = TierClock()
        /// The uses of shards that were removed from the table before `drainUses`.
        var forgottenUses: [(digest: ContentDigest, count: Int, last: Int64)] = []
        /// What was counted since the last `drainUses`.
        var activity = TierActivity()
        /// Whether shards are being evicted in the background.
        var isTrimming = false
        /// The memory of the tier; nil once the tier is closed.
        var medium: (any TierMedium)?

        package init(order: EvictionOrder) { self.order = order }
    }

    package let tier: Tier
    /// The most bytes of ready and loading shards.
    package let budget: Int
    /// Reads the files of shards that their holders map themselves; nil if the tier has no such shards.
    let reader: PageReader?
    /// The path of a shard's blob.
    package let path: @Sendable (ContentDigest) -> String
    /// Above `high` bytes, shards are evicted in the background, down to `low` bytes.
    package let watermarks: (high: Int, low: Int)?
    let fetcher: TierFetcher?
    private let recorder: AccessRecorder?
    package let state: Mutex<State>
    /// The number of requests that wait for space or are about to. Every release reads it, without the lock.
    let waiters = Atomic<Int>(0)
    /// Whether more is resident than the high watermark. Releases read it, without the lock.
    let isAboveWatermark = Atomic<Bool>(false)
    /// The time, by `StoreClock.coarse`, before which no eviction starts in the background. Releases read it, without
    /// the lock.
    let nextTrim = Atomic<Int64>(0)
    /// Whether ``close()`` was called. Leases and releases read it, without the lock.
    let closed = Atomic<Bool>(false)
    /// What evicts all shards when none was leased for some time; nil if they stay.
    let idleness: Idleness?

    /// - Parameters:
    ///   - watermarks: fractions of the budget.
    ///   - idleMilliseconds: the time after the last release of a lease after which all shards are evicted; nil if they
    ///     stay.
    ///   - fetcher: fetches shards without a file; nil reports them as missing.
    ///   - path: returns the path of a shard's blob.
    package init(
        _ tier: Tier, medium: any TierMedium, budget: Int, order: EvictionOrder = .leastRecentlyUsed,
        watermarks: (high: Double, low: Double)? = nil, idleMilliseconds: Int? = nil, fetcher: TierFetcher? = nil,
        recorder: AccessRecorder? = nil, path: @escaping @Sendable (ContentDigest) -> String
    ) {
        self.watermarks = watermarks.map {
            (Int(saturating: $0.high * Double(budget)), Int(saturating: $0.low * Double(budget)))
        }
        self.fetcher = fetcher
        self.recorder = recorder
        idleness = idleMilliseconds.map { Idleness(milliseconds: $0) }
        var initial = State(order: order)
        initial.medium = medium
        reader = medium.reader
        state = Mutex(initial)
        self.tier = tier
        self.budget = budget
        self.path = path
    }

    /// The unique value that represents a shard in this tier.
    ///
    /// - Parameter kind: nil if unknown; a later call may set it.
    package func residentShard(
        _ digest: ContentDigest, bytes: Int, layer: Int? = nil, kind: ShardKind? = nil, model: String? = nil
    ) -> ResidentShard {
        state.withLock { state in
            let key = ResidentShard.Key(digest)
            let shard = state.table[key] ?? ResidentShard(digest: digest, bytes: bytes, layer: layer)
            state.table[key] = shard
            if let kind { shard.account.knownKind = kind }
            if let model { shard.account.models.insert(model) }
            return shard
        }
    }

    /// The unique value that represents a range of a whole shard in this tier.
    package func residentShard(of range: Range<Int>, in shard: ResidentShard) -> ResidentShard {
        if range == shard.range { return shard }
        return state.withLock { state in
            let part = ResidentShard(
                digest: shard.digest, bytes: shard.shardBytes, range: range, layer: shard.account.layer)
            let resident = state.table[part.key] ?? part
            state.table[part.key] = resident
            resident.account.knownKind = shard.account.knownKind
            resident.account.models.formUnion(shard.account.models)
            return resident
        }
    }

    /// The unique value that represents the bytes of another one for holders that map them themselves.
    package func unmappedShard(of shard: ResidentShard) -> ResidentShard {
        if shard.isUnmapped { return shard }
        return state.withLock { state in
            let key = ResidentShard.Key(shard.digest, range: shard.key.range, isUnmapped: true)
            let unmapped =
                state.table[key]
                ?? ResidentShard(
                    digest: shard.digest, bytes: shard.shardBytes, range: shard.key.range, isUnmapped: true,
                    layer: shard.account.layer)
            state.table[key] = unmapped
            unmapped.account.knownKind = shard.account.knownKind
            unmapped.account.models.formUnion(shard.account.models)
            return unmapped
        }
    }

    /// The values that represent the KV blocks of one prefix, in order. They stay in the tier's table until
    /// ``unreference(_:)``, which must follow each call.
    package func reference(_ blocks: [KVShard], model: String) -> [ResidentShard] {
        state.withLock { state in
            var last: KVShard?
            return blocks.map { block in
                let key = ResidentShard.Key(block.digest)
                let shard =
                    state.table[key] ?? ResidentShard(digest: block.digest, bytes: block.bytes, depth: block.depth)
                state.table[key] = shard
                if let last, last.depth + 1 == block.depth { shard.account.parent = last.digest }
                last = block
                shard.account.models.insert(model)
                shard.account.references? += 1
                return shard
            }
        }
    }

    /// Undoes ``reference(_:model:)``, and removes the blocks that are no longer needed.
    package func unreference(_ shards: [ResidentShard]) {
        state.withLock { state in
            for shard in shards {
                shard.account.references? -= 1
                state.removeIfUnused(shard)
            }
        }
    }

    /// Records an access to shards, if recording is on.
    package func record(_ shards: [ResidentShard]) {
        if let recorder, recorder.isOn { recorder.record(digests: shards.lazy.map(\.digest)) }
    }

    /// The current totals.
    package var gauge: TierGauge {
        state.withLock { state in
            var gauge = TierGauge(tier: tier, budget: budget, bytes: state.resident, loading: state.loading)
            var uses = state.uses
            for shard in state.table.values {
                uses += shard.uses
                guard shard.phase == .ready else { continue }
                gauge.shards += 1
                if shard.leases > 0 { gauge.leased += shard.bytes }
            }
            gauge.misses = state.misses
            gauge.hits = uses - state.misses
            gauge.loaded = state.loaded
            gauge.evictions = state.evictions
            gauge.failures = state.failures
            gauge.policy = state.order.name
            return gauge
        }
    }

    /// Whether the totals match the shards; every test checks it at its end.
    var isExact: Bool {
        state.withLock { state in
            let ready = state.table.values.saturatingSum { $0.phase == .ready ? $0.bytes : 0 }
            let loading = state.table.values.saturatingSum { $0.phase.isInFlight ? $0.bytes : 0 }
            return ready == state.resident && loading == state.loading && ready + loading <= budget
                && state.inFlight.count == state.table.values.count(where: \.phase.isInFlight)
        }
    }

    /// Returns the uses of shards since the last call, and the age of each shard's last use.
    package func drainUses() -> DrainedUses {
        let now = StoreClock.coarse
        return state.withLock { state in
            var drained = DrainedUses()
            drained.uses = state.forgottenUses.map { ($0.digest, $0.count, Double(now - $0.last) / 1e9) }
            state.forgottenUses = []
            for shard in state.table.values {
                let count = shard.drainUses()
                if count > 0 {
                    drained.uses.append((shard.digest, count, Double(now - shard.lastUse) / 1e9))
                    shard.account.add(count, at: shard.lastUse)
                    state.add(count, usesOf: shard)
                }
            }
            drained.activity = state.activity.drain(tier)
            return drained
        }
    }
}
