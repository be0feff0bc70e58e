import Dispatch
import Files
import Storage
import Support

extension MemoryTier {
    /// Whether the tier was closed.
    package var isClosed: Bool { closed.load(ordering: .sequentiallyConsistent) }

    /// - Throws: ``TierError/closed(tier:)``.
    func requireOpen() throws(TierError) {
        if isClosed { throw .closed(tier: tier) }
    }

    /// The bytes that the tier can hold now: the budget, or less if others use the device's memory.
    package var attainableBudget: Int {
        let (medium, resident) = state.withLock { ($0.medium, $0.resident) }
        return min(budget, medium?.available.map { resident.adding(saturating: $0) } ?? budget)
    }

    /// Evicts all shards without a lease, and returns their memory to the system.
    ///
    /// - Returns: the bytes evicted.
    @discardableResult
    package func clear() -> Int {
        let (bytes, medium) = (evictAll(), state.withLock { $0.medium })
        medium?.trim()
        return bytes
    }

    /// Refuses further leases. Shards without a lease are evicted now, and the others when their last lease ends, which
    /// may be long after. Loads that have begun end, for the requests that wait for them.
    ///
    /// - Returns: the bytes evicted now.
    @discardableResult
    package func close() -> Int {
        // Before the shards are evicted: a release that does not see it ends a lease before that.
        closed.store(true, ordering: .sequentiallyConsistent)
        idleness?.end()
        let medium = state.withLock { state -> (any TierMedium)? in
            defer { state.medium = nil }
            return state.medium
        }
        let bytes = evictAll()
        medium?.trim()
        // They are refused.
        retryWaitingRequests()
        return bytes
    }

    /// Evicts the shards whose blobs were removed, unless they are leased.
    ///
    /// - Returns: the bytes evicted.
    @discardableResult
    package func evictRemoved() -> Int {
        let shards = state.withLock { $0.evictable }
        var bytes = 0
        for shard in shards where !FileSystem.exists(path(shard.digest)) {
            let payload = state.withLock { state in state.evict(Victim(shard: shard, priority: nil)) }
            if payload != nil { bytes.add(saturating: shard.bytes) }
        }
        return bytes
    }

    /// Evicts a shard of a closed tier, unless it is leased.
    func evictUnleased(_ shard: ResidentShard) {
        // The bytes are freed outside the lock, because unmapping is slow.
        _ = state.withLock { state in state.evict(Victim(shard: shard, priority: nil)) }
    }

    private func evictAll() -> Int {
        let evicted = state.withLock { state -> (bytes: Int, garbage: [Payload]) in
            var (bytes, garbage) = (0, [Payload]())
            for shard in Array(state.table.values) {
                guard let payload = state.evict(Victim(shard: shard, priority: nil)) else { continue }
                garbage.append(payload)
                bytes.add(saturating: shard.bytes)
            }
            return (bytes, garbage)
        }
        return evicted.bytes
    }

    /// Checks after the time of `idleness` whether no shard was leased, and evicts all if so.
    func scheduleIdleCheck(_ idleness: Idleness) {
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(idleness.milliseconds)) { [weak self] in
            self?.clearIfIdle(idleness)
        }
    }

    private func clearIfIdle(_ idleness: Idleness) {
        // Before the leases are read: the release of the last one schedules the next check.
        idleness.checkBegins()
        let isLeased = state.withLock { state in
            state.loading > 0 || state.table.values.contains { $0.leases > 0 }
        }
        if isLeased { return }
        let now = StoreClock.coarse
        if idleness.isOver(at: now) {
            clear()
        } else if idleness.mustSchedule() {
            scheduleIdleCheck(idleness)
        }
    }
}
