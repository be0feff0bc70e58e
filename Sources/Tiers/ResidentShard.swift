import Storage
import Synchronization

/// The state of one shard in one memory tier: its phase, the number of its leases, and its uses.
///
/// A value stands for a whole shard, or for a range of one: an expert in a tensor that stacks all experts of a layer. A
/// range is loaded, counted and evicted as if it were a shard of its own, beside the whole shard and the other ranges. So
/// is a shard that is leased for consumers that write, which map the blob themselves (`PrivateLease`): the tier then has
/// no bytes of it.
///
/// All three are in one word, so that a hit is one atomic operation, without a lock:
///
///     bits 0–27   leases
///     bits 28–29  phase
///     bits 30–63  uses since they were last counted
///
/// The highest bit of the leases is never reached: a hit fails when it is set, so a lease cannot change the phase.
///
/// Only the tier changes the phase, under its lock: absent → loading (→ arriving) → ready → absent. The step from ready to absent is
/// one atomic operation that fails if there are leases.
package final class ResidentShard: Sendable {
    /// The phase of the bytes.
    package enum Phase: UInt64 {
        case absent, loading, ready
        /// The copies to a device are queued, so that work on the device can be queued behind them.
        case arriving

        /// Whether a load is in progress.
        var isInFlight: Bool { self == .loading || self == .arriving }
    }

    private static let leaseMask: UInt64 = (1 << 28) - 1
    private static let leaseLimit: UInt64 = 1 << 27
    private static let phaseUnit: UInt64 = 1 << 28
    private static let phaseMask: UInt64 = 3 << 28
    private static let useUnit: UInt64 = 1 << 30

    /// The number of leases at which a request is refused. It is lower than the limit of hits, so that a shard without a
    /// refusal has room for every lease that threads add meanwhile.
    package static let mostLeases = Int(leaseLimit) - (1 << 20)

    /// The key of the value in a tier.
    package struct Key: Hashable, Sendable {
        package let digest: ContentDigest
        /// The bytes of the shard; nil for all of them.
        package let range: Range<Int>?
        /// Whether the holders of leases map the bytes themselves.
        package let isUnmapped: Bool

        package init(_ digest: ContentDigest, range: Range<Int>? = nil, isUnmapped: Bool = false) {
            self.digest = digest
            self.range = range
            self.isUnmapped = isUnmapped
        }
    }

    package let key: Key
    /// The size of the resident bytes: that of the shard, or of the range.
    package let bytes: Int
    /// The size of the whole shard, in bytes.
    package let shardBytes: Int
    private let word = Atomic<UInt64>(0)
    /// The time of the last use, by `StoreClock.coarse`.
    private let used = Atomic<Int64>(0)
    /// Written by the tier only in the phases absent and loading, when there are no readers.
    nonisolated(unsafe) private var storage: Payload?
    /// Further facts for eviction. For the tier only, under its lock.
    nonisolated(unsafe) var account: ShardStatistics

    /// - Parameters:
    ///   - bytes: the size of the whole shard.
    ///   - range: the bytes of the shard that the value stands for; nil for all of them.
    ///   - isUnmapped: whether the holders of leases map the bytes themselves.
    package init(
        digest: ContentDigest, bytes: Int, range: Range<Int>? = nil, isUnmapped: Bool = false, layer: Int? = nil,
        depth: Int? = nil
    ) {
        key = Key(digest, range: range, isUnmapped: isUnmapped)
        self.bytes = range?.count ?? bytes
        shardBytes = bytes
        account = ShardStatistics(layer: layer, depth: depth)
    }

    package var digest: ContentDigest { key.digest }
    /// Whether the value stands for the whole shard, with its bytes.
    package var isWhole: Bool { key.range == nil && !key.isUnmapped }
    /// Whether the holders of leases map the bytes themselves.
    package var isUnmapped: Bool { key.isUnmapped }
    /// The bytes of the shard that are in the payload.
    package var range: Range<Int> { key.range ?? 0..<shardBytes }

    var phase: Phase { Self.phase(word.load(ordering: .acquiring)) }
    package var leases: Int { Int(word.load(ordering: .sequentiallyConsistent) & Self.leaseMask) }
    var lastUse: Int64 { used.load(ordering: .relaxed) }

    /// The bytes of `range`. Only the holder of a lease may read it.
    package var payload: Payload { storage! }

    /// Adds a lease if the shard is ready.
    ///
    /// The lease is counted first, and subtracted again if the shard is not ready. Unlike a compare-and-exchange, an
    /// addition never has to be repeated when several threads lease the same shard. After `false`, the caller must call
    /// `MemoryTier.retryWaitingRequests` or hold the tier's lock: the temporary count may have hidden the release of
    /// the last lease.
    func leaseIfReady(at now: Int64) -> Bool {
        let old = word.add(1 &+ Self.useUnit, ordering: .acquiring).oldValue
        guard Self.mayLease(old) else {
            word.subtract(1 &+ Self.useUnit, ordering: .sequentiallyConsistent)
            return false
        }
        if used.load(ordering: .relaxed) != now { used.store(now, ordering: .relaxed) }
        return true
    }

    /// As `leaseIfReady`, for a warm-up, which does not count as an access.
    func holdIfReady() -> Bool {
        let old = word.add(1, ordering: .acquiring).oldValue
        if Self.mayLease(old) { return true }
        word.subtract(1, ordering: .sequentiallyConsistent)
        return false
    }

    /// Adds a lease while another one is held.
    func leaseAgain() { word.add(1 &+ Self.useUnit, ordering: .relaxed) }

    /// Releases a lease.
    ///
    /// - Returns: whether it was the last lease.
    package func release() -> Bool {
        let old = word.subtract(1, ordering: .sequentiallyConsistent).oldValue
        precondition(old & Self.leaseMask > 0, "a lease was released twice")
        return old & Self.leaseMask == 1
    }

    /// The uses since the last `drainUses`.
    package var uses: Int { Int(word.load(ordering: .relaxed) / Self.useUnit) }

    /// Returns the uses since the last call, and resets them.
    func drainUses() -> Int {
        var old = word.load(ordering: .relaxed)
        while true {
            let (exchanged, found) = word.weakCompareExchange(
                expected: old, desired: old & (Self.useUnit - 1), ordering: .relaxed)
            if exchanged { return Int(old / Self.useUnit) }
            old = found
        }
    }

    // MARK: For the tier, under its lock

    func beginLoading() {
        word.add(Self.phaseUnit * (Phase.loading.rawValue - Phase.absent.rawValue), ordering: .relaxed)
    }

    /// Makes the shard ready, with `leases` leases, of which `uses` count as uses.
    func finishLoading(_ payload: Payload, leases: Int, uses: Int, at now: Int64) {
        let old = phase
        // An arriving shard has the payload already, and readers.
        if old == .loading { storage = payload }
        used.store(now, ordering: .relaxed)
        // The step from arriving to ready is negative.
        let step = Self.phaseUnit &* (Phase.ready.rawValue &- old.rawValue)
        word.wrappingAdd(step &+ UInt64(leases) &+ UInt64(uses) &* Self.useUnit, ordering: .releasing)
    }

    /// Makes a loading shard available to work on the device that is queued behind its copies, with `leases` leases, of
    /// which `uses` count as uses.
    func beginArriving(_ payload: Payload, leases: Int, uses: Int) {
        storage = payload
        let step = Self.phaseUnit * (Phase.arriving.rawValue - Phase.loading.rawValue)
        word.add(step &+ UInt64(leases) &+ UInt64(uses) &* Self.useUnit, ordering: .releasing)
    }

    /// Makes the shard absent. If its copies were queued, its memory stays until the next load: the holders of leases may
    /// read its address.
    func failLoading() {
        word.subtract(Self.phaseUnit * phase.rawValue, ordering: .relaxed)
    }

    /// Makes the shard absent and returns its bytes; nil if it is leased or not ready.
    package func evict() -> Payload? {
        var old = word.load(ordering: .sequentiallyConsistent)
        while Self.phase(old) == .ready, old & Self.leaseMask == 0 {
            let (exchanged, found) = word.weakCompareExchange(
                expected: old, desired: old & ~Self.phaseMask, ordering: .sequentiallyConsistent)
            if exchanged {
                defer { storage = nil }
                return storage
            }
            old = found
        }
        return nil
    }

    /// Whether the shard is ready, and has fewer leases than the limit.
    private static func mayLease(_ word: UInt64) -> Bool {
        word & (phaseMask | leaseLimit) == Phase.ready.rawValue * phaseUnit
    }

    private static func phase(_ word: UInt64) -> Phase { Phase(rawValue: (word & phaseMask) / phaseUnit)! }
}
