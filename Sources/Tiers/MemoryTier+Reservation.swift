import DeviceMemory
import Storage

extension MemoryTier {
    /// The budget has space, and the device's memory has not: an evicted region is free only once the last thread that
    /// uses it, such as the one that has uploaded it, has released it. The medium reports that, and the request is
    /// retried.
    struct LateSpace: Error {
        let cause: any Error
    }

    /// Reserves space for the absent shards of a request, evicting others if necessary.
    ///
    /// - Throws: ``TierError/full(tier:requested:budget:inUse:)`` if the evictable shards do not suffice. Their sizes
    ///   are added up first, so then nothing is evicted, unless leases were added meanwhile or device memory is
    ///   fragmented. ``DeviceError/outOfMemory(_:requested:free:)`` if others use the device's memory.
    func reserveSpace(
        for shards: [ResidentShard], of request: LeaseRequest, in medium: any TierMedium, _ state: inout State,
        _ garbage: inout [Payload]
    ) throws -> [Reservation] {
        if shards.isEmpty { return [] }
        let requested = shards.saturatingSum(\.bytes)
        let excluded = Set(request.wanted.map(ObjectIdentifier.init))
        let excess = state.resident + state.loading + requested - budget
        func full() -> TierError {
            let leased = state.table.values.saturatingSum { $0.leases > 0 ? $0.bytes : 0 }
            return .full(tier: tier, requested: requested, budget: budget, inUse: leased + state.loading)
        }
        var victims: ArraySlice<Victim>?
        func ranked() -> ArraySlice<Victim> {
            let allowed = state.evictable.filter {
                !excluded.contains(ObjectIdentifier($0)) && request.warming?.mayEvict($0) ?? true
            }
            return state.rank(allowed, bytes: max(excess, 1))[...]
        }
        /// Evicts one more shard, and returns its size; 0 if there is none.
        func evictNext() -> Int {
            var rest = victims ?? ranked()
            defer { victims = rest }
            while let victim = rest.popFirst() {
                // Skips a shard that was leased since the ranking.
                guard let payload = state.evict(victim) else { continue }
                garbage.append(payload)
                return victim.shard.bytes
            }
            return 0
        }
        if excess > 0 {
            let candidates = ranked()
            guard candidates.reduce(0, { $0 + $1.shard.bytes }) >= excess else { throw full() }
            victims = candidates
            var freed = 0
            while freed < excess {
                let bytes = evictNext()
                guard bytes > 0 else { throw full() }
                freed += bytes
            }
        }
        // The largest first: a small region in the gap that a large one has left would keep the next large one out.
        var reserved: [Int: Reservation] = [:]
        var isNotified = false
        func notify(afterReleases skipped: Int) {
            isNotified = true
            medium.notify(afterReleases: skipped) { [weak self] in self?.retryInBackground() }
        }
        for index in shards.indices.sorted(by: { shards[$0].bytes > shards[$1].bytes }) {
            var isTriedAgain = false
            while reserved[index] == nil {
                do {
                    reserved[index] = try medium.reserve(bytes: shards[index].bytes)
                } catch let error as DeviceError where error.isShortage {
                    // Evicted regions become free only when their values are released, and free space may be
                    // fragmented, or the device's memory used by others.
                    if !garbage.isEmpty {
                        garbage = []
                    } else if evictNext() == 0 {
                        if !isTriedAgain {
                            // A region that was released before this call is used by the next attempt. Each later one is
                            // reported, except those that this request has reserved: it releases them if it waits.
                            isTriedAgain = true
                            notify(afterReleases: reserved.count)
                            continue
                        }
                        if case .arenaFull = error { throw LateSpace(cause: full()) }
                        throw LateSpace(cause: error)
                    }
                }
            }
        }
        if isNotified {
            // What is reserved stays, and the next release is reported to the requests that wait; one may have been missed.
            notify(afterReleases: 0)
            retryInBackground()
        }
        return shards.indices.compactMap { reserved[$0] }
    }
}
