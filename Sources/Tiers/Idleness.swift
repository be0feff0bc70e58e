import Synchronization

/// When a tier evicts all of its shards because no lease used them for some time.
final class Idleness: Sendable {
    /// The time after the last release of a lease.
    let milliseconds: Int
    /// The last release of a shard's last lease, by `StoreClock.coarse`.
    private let lastRelease = Atomic<Int64>(0)
    private let isScheduled = Atomic<Bool>(false)
    private let isEnded = Atomic<Bool>(false)

    init(milliseconds: Int) { self.milliseconds = milliseconds }

    /// Ends the evictions for ever: the shards are to stay.
    func end() { isEnded.store(true, ordering: .sequentiallyConsistent) }

    /// Records the release of a shard's last lease.
    ///
    /// - Returns: whether a check must be scheduled.
    func mustSchedule(at now: Int64) -> Bool {
        lastRelease.store(now, ordering: .sequentiallyConsistent)
        return mustSchedule()
    }

    /// Whether a check must be scheduled, because none is.
    func mustSchedule() -> Bool {
        !isEnded.load(ordering: .sequentiallyConsistent)
            && !isScheduled.exchange(true, ordering: .sequentiallyConsistent)
    }

    /// A scheduled check begins.
    func checkBegins() { isScheduled.store(false, ordering: .sequentiallyConsistent) }

    /// Whether the last release is long enough ago.
    func isOver(at now: Int64) -> Bool {
        !isEnded.load(ordering: .sequentiallyConsistent)
            && now - lastRelease.load(ordering: .sequentiallyConsistent) >= Int64(milliseconds) * 1_000_000
    }
}
