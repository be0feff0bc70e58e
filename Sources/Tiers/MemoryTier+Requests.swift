import DeviceMemory
import Dispatch
import Storage

extension MemoryTier {
    /// Starts a request: leases the ready shards, joins loads in progress, and begins the other loads.
    package func start(_ request: LeaseRequest) {
        var loads: [PreparedLoad] = []
        var garbage: [Payload] = []
        // What a warm-up loads is not leased, and stays.
        if request.warming != nil { idleness?.end() }
        // Counted as waiting before the leases are read, so that every later release sees the waiting request.
        if request.waitsForSpace { waiters.add(1, ordering: .sequentiallyConsistent) }
        let failure = state.withLock { state -> (any Error)? in
            if let failure = request.failure { return failure }
            do {
                loads = try beginLoads(request, &state, &garbage)
                return nil
            } catch {
                let lateness = error is LateSpace ? request.lateness(at: StoreClock.coarse) : nil
                let isLate = lateness.map { request.waitsForSpace || $0 < Self.mostLateness } ?? false
                let error = (error as? LateSpace)?.cause ?? error
                guard isLate || (Self.isShortage(error) && waitingHelps(request, state)) else { return error }
                if !request.waitsForSpace { waiters.add(1, ordering: .sequentiallyConsistent) }
                state.waiting.append(request)
                if isLate, let lateness { scheduleRetry(after: lateness) }
                scheduleTimeout(request, after: Self.longestWait, error)
                return Waiting()
            }
        }
        // Evicted bytes are freed here, outside the lock, because unmapping is slow.
        garbage = []
        if failure is Waiting { return }
        if request.waitsForSpace { waiters.subtract(1, ordering: .sequentiallyConsistent) }
        for load in loads { startLoad(load) }
        request.end(of: failure)
    }

    private struct Waiting: Error {}

    /// Whether released leases may help.
    private static func isShortage(_ error: any Error) -> Bool {
        if case .full = error as? TierError { return true }
        return (error as? DeviceError)?.isShortage ?? false
    }

    /// In nanoseconds; a second, after which the free space probably is fragmented. A request that does not wait for releases
    /// fails then.
    private static let mostLateness: Int64 = 1_000_000_000

    /// A request that waits is tried again until it times out: on a busy machine, the thread that has the evicted region may
    /// rest for seconds, and nothing else may happen that would try the request.
    private func scheduleRetry(after lateness: Int64) {
        let interval = lateness < Self.mostLateness ? 20 : 500
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(interval)) { [weak self] in
            self?.retryWaitingRequests()
        }
    }

    /// The time, in seconds, after which a request that waits for space fails: the holder of the leases may be waiting
    /// for it.
    private static let longestWait = 60

    private func scheduleTimeout(_ request: LeaseRequest, after seconds: Int, _ error: any Error) {
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(seconds)) { [weak self, weak request] in
            guard let self, let request else { return }
            let waited = state.withLock { state in
                let place = state.waiting.firstIndex { $0 === request }
                if let place { state.waiting.remove(at: place) }
                return place != nil
            }
            guard waited else { return }
            waiters.subtract(1, ordering: .sequentiallyConsistent)
            request.end(of: error)
        }
    }

    /// Whether a wait can help: for a request with `waitsForSpace`, because leases will be released; for every request,
    /// because an abandoned load will end and free its space.
    private func waitingHelps(_ request: LeaseRequest, _ state: State) -> Bool {
        guard request.wanted.reduce(0, { $0 + $1.bytes }) <= budget else { return false }
        return request.waitsForSpace || state.inFlight.values.contains { $0.requests.isEmpty }
    }

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

    /// Starts waiting requests again, in order, until one has to wait again.
    func retryWaitingRequests() {
        while waiters.load(ordering: .sequentiallyConsistent) > 0 {
            let (next, count) = state.withLock { state in
                (state.waiting.isEmpty ? nil : state.waiting.removeFirst(), state.waiting.count)
            }
            guard let next else { return }
            waiters.subtract(1, ordering: .sequentiallyConsistent)
            start(next)
            // The request waits again, so there is no space for the others either.
            if state.withLock({ $0.waiting.count }) > count { return }
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
            let place = state.waiting.firstIndex { $0 === request }
            if let place { state.waiting.remove(at: place) }
            return (left, place != nil)
        }
        for _ in 0..<left { request.settle(.failure(CancellationError())) }
        if waited {
            waiters.subtract(1, ordering: .sequentiallyConsistent)
            request.end(of: CancellationError())
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
