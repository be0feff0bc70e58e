import Storage
import Synchronization

/// One shard in one memory tier: whether its bytes are there, how many leases hold them, how often it was used.
///
/// All of it is in one word, so that a hit is one atomic step, without a lock:
///
///     bits 0–19   leases
///     bits 20–21  phase
///     bits 22–63  uses since they were last counted
///
/// Only the tier, under its lock, changes the phase: absent → loading → ready → absent. From ready it goes only while
/// there are no leases, in the same atomic step that finds none.
package final class Residency: Sendable {
    package enum Phase: UInt64 {
        case absent, loading, ready
    }

    private static let leaseMask: UInt64 = (1 << 20) - 1
    private static let phaseUnit: UInt64 = 1 << 20
    private static let phaseMask: UInt64 = 3 << 20
    private static let useUnit: UInt64 = 1 << 22

    package let digest: ContentDigest
    /// The size of the shard.
    package let bytes: Int
    private let word = Atomic<UInt64>(0)
    /// When it was last used: a reading of `StoreClock.coarse`.
    private let used = Atomic<Int64>(0)
    /// Written by the tier while nobody may read it: before ready, and after.
    nonisolated(unsafe) private var storage: Payload?
    /// What eviction wants to know beside the word. For the tier, under its lock.
    nonisolated(unsafe) var account: ResidencyAccount

    package init(digest: ContentDigest, bytes: Int, layer: Int? = nil, depth: Int? = nil) {
        self.digest = digest
        self.bytes = bytes
        account = ResidencyAccount(layer: layer, depth: depth)
    }

    var phase: Phase { Self.phase(word.load(ordering: .acquiring)) }
    package var leases: Int { Int(word.load(ordering: .sequentiallyConsistent) & Self.leaseMask) }
    var lastUse: Int64 { used.load(ordering: .relaxed) }

    /// Where the bytes are. Only for whoever holds a lease.
    package var payload: Payload { storage! }

    /// Takes a lease if the bytes are there.
    ///
    /// The lease is counted first, and taken back if the shard is not ready: an addition never has to be repeated, so
    /// threads that want the same shard don't make each other try again. Who gets `false` must see whether somebody
    /// waits for room: the count of a moment may have hidden that the last lease was given back.
    func leaseIfReady(at now: Int64) -> Bool {
        let old = word.add(1 &+ Self.useUnit, ordering: .acquiring).oldValue
        guard Self.phase(old) == .ready else {
            word.subtract(1 &+ Self.useUnit, ordering: .sequentiallyConsistent)
            return false
        }
        if used.load(ordering: .relaxed) != now { used.store(now, ordering: .relaxed) }
        return true
    }

    /// As `leaseIfReady`, for a lease that is no use of the shard: what warms does not make anything more popular.
    func holdIfReady() -> Bool {
        let old = word.add(1, ordering: .acquiring).oldValue
        if Self.phase(old) == .ready { return true }
        word.subtract(1, ordering: .sequentiallyConsistent)
        return false
    }

    /// Gives a lease back.
    ///
    /// - Returns: whether it was the last.
    package func release() -> Bool {
        let old = word.subtract(1, ordering: .sequentiallyConsistent).oldValue
        precondition(old & Self.leaseMask > 0, "a lease was given back twice")
        return old & Self.leaseMask == 1
    }

    /// The uses that were not taken yet.
    package var uses: Int { Int(word.load(ordering: .relaxed) / Self.useUnit) }

    /// The uses since the last call.
    func takeUses() -> Int {
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

    /// Makes the bytes usable, held by `leases` leases already, of which `uses` are uses.
    func finishLoading(_ payload: Payload, leases: Int, uses: Int, at now: Int64) {
        storage = payload
        used.store(now, ordering: .relaxed)
        let step = Self.phaseUnit * (Phase.ready.rawValue - Phase.loading.rawValue)
        word.add(step &+ UInt64(leases) &+ UInt64(uses) &* Self.useUnit, ordering: .releasing)
    }

    func failLoading() {
        word.subtract(Self.phaseUnit * Phase.loading.rawValue, ordering: .relaxed)
    }

    /// Takes the bytes away, unless a lease holds them or they are not there.
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

    private static func phase(_ word: UInt64) -> Phase { Phase(rawValue: (word & phaseMask) / phaseUnit)! }
}
