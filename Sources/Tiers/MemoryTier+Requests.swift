import Storage

extension MemoryTier {
    /// Starts a request: leases the ready shards, joins loads in progress, and begins the other loads.
    package func start(_ request: LeaseRequest) { start(request, again: nil) }

    /// - Parameter former: the request as it waited until now; nil for a new one.
    func start(_ request: LeaseRequest, again former: WaitingRequest?) {
        var loads: [PreparedLoad] = []
        var garbage: [Payload] = []
        // What a warm-up loads is not leased, and stays.
        if request.warming != nil { idleness?.end() }
        // Counted as waiting before the leases are read, so that every later release sees the waiting request.
        waiters.add(1, ordering: .sequentiallyConsistent)
        let failure = state.withLock { state -> (any Error)? in
            if let failure = request.failure { return failure }
            do {
                loads = try beginLoads(request, &state, &garbage)
                return nil
            } catch {
                return wait(request, former, after: error, &state) ?? Waiting()
            }
        }
        // Evicted bytes are freed here, outside the lock, because unmapping is slow.
        garbage = []
        if failure is Waiting { return }
        waiters.subtract(1, ordering: .sequentiallyConsistent)
        for load in loads { startLoad(load) }
        request.end(of: failure)
    }

    private struct Waiting: Error {}

    /// Releases a lease.
    package func release(_ shard: ResidentShard) {
        guard shard.release() else { return }
        if shard.isUnmapped { forget(shard) }
        if isClosed { evictUnleased(shard) }
        if let idleness, idleness.mustSchedule(at: StoreClock.coarse) { scheduleIdleCheck(idleness) }
        retryWaitingRequests()
        if isAboveWatermark.load(ordering: .relaxed), nextTrim.load(ordering: .relaxed) <= StoreClock.coarse {
            trimIfAboveWatermark()
        }
    }

    /// Makes a shard absent of which the tier has no bytes, so that it uses no budget.
    private func forget(_ shard: ResidentShard) {
        state.withLock { state in
            guard shard.evict() != nil else { return }
            state.resident -= shard.bytes
        }
    }

    /// Cancels a request. Loads without other requests are cancelled, too.
    package func cancel(_ request: LeaseRequest) {
        request.fail(CancellationError())
        let (left, waited) = state.withLock { state in
            var left = 0
            for shard in request.wanted {
                guard var flight = state.inFlight[shard.key],
                    let index = flight.requests.firstIndex(where: { $0 === request })
                else { continue }
                flight.requests.remove(at: index)
                if flight.requests.isEmpty { flight.work.cancel() }
                state.inFlight[shard.key] = flight
                left += 1
            }
            return (left, state.waiting.remove(request))
        }
        for _ in 0..<left { request.settle(.failure(CancellationError())) }
        if waited {
            waiters.subtract(1, ordering: .sequentiallyConsistent)
            request.end(of: CancellationError())
            // Others may have waited behind it.
            retryInBackground()
        }
    }

    /// Leases the ready shards of a request, joins loads in progress, and prepares the other loads.
    private func beginLoads(_ request: LeaseRequest, _ state: inout State, _ garbage: inout [Payload]) throws
        -> [PreparedLoad]
    {
        if let shard = request.wanted.first(where: { $0.leases >= ResidentShard.mostLeases }) {
            throw TierError.tooManyLeases(tier: tier, digest: shard.digest, leases: shard.leases)
        }
        guard let medium = state.medium else { throw TierError.closed(tier: tier) }
        let missing = request.wanted.filter { $0.phase == .absent }
        let reservations = try reserveSpace(for: missing, of: request, in: medium, &state, &garbage)
        let now = StoreClock.coarse
        for shard in request.wanted where shard.phase != .absent {
            if request.isUse ? shard.leaseIfReady(at: now) : shard.holdIfReady() {
                request.hold(shard)
            } else if request.whenQueued, request.isUse, shard.phase == .arriving {
                shard.leaseAgain()
                request.hold(shard)
                state.add(1, missesOf: shard)
            } else {
                state.inFlight[shard.key]!.requests.append(request)
                request.expect()
            }
        }
        return zip(missing, reservations).map { shard, reservation in
            shard.beginLoading()
            shard.account.loadStartedAt = now
            state.loading += shard.bytes
            request.expect()
            let flight = InFlightLoad(shard: shard, requests: [request])
            state.inFlight[shard.key] = flight
            return PreparedLoad(
                shard: shard, medium: medium, reservation: reservation, work: flight.work,
                request: ObjectIdentifier(request))
        }
    }
}
