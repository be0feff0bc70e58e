import DeviceMemory
import Storage
import Support

extension MemoryTier {
    /// A load that is about to start.
    struct PreparedLoad {
        let shard: ResidentShard
        let medium: any TierMedium
        let reservation: Reservation
        let work: Work
        /// The first request that waits for the shard.
        let request: ObjectIdentifier
        let start = ContinuousClock.now
        /// Whether the shard's file is fetched first.
        var isFetched = false
    }

    func startLoad(_ load: PreparedLoad) {
        let shard = load.shard
        load.medium.load(
            shard, at: path(shard.digest), into: load.reservation, load.work
        ) { [self] payload in
            beginArriving(load, payload)
        } completion: { [self] result in
            guard case .failure(let error as StorageError) = result, error.lostBlob == shard.digest, let fetcher else {
                return finishLoad(load, result)
            }
            fetch(load, fetcher, after: error)
        }
    }

    /// Fetches the shard's file, then loads the shard.
    private func fetch(_ first: PreparedLoad, _ fetcher: TierFetcher, after error: StorageError) {
        let shard = first.shard
        var load = first
        load.isFetched = true
        let completion: @Sendable (Result<Void, any Error>) -> Void = { [self, load] fetched in
            if case .failure(let error) = fetched { return finishLoad(load, .failure(error)) }
            load.medium.load(
                shard, at: path(shard.digest), into: load.reservation, load.work
            ) { [self] payload in
                beginArriving(load, payload)
            } completion: { [self] result in
                finishLoad(load, result)
            }
        }
        fetcher.start(
            .init(
                digest: shard.digest, bytes: shard.shardBytes, error: error, work: load.work, completion: completion),
            for: load.request)
    }

    /// Leases a shard whose copies are queued to the requests that need no more.
    private func beginArriving(_ load: PreparedLoad, _ payload: Payload) {
        let shard = load.shard
        let requests = state.withLock { state -> [LeaseRequest] in
            guard var flight = state.inFlight[shard.key] else { return [] }
            let queued = flight.requests.filter(\.whenQueued)
            if queued.isEmpty { return [] }
            flight.requests.removeAll(where: \.whenQueued)
            state.inFlight[shard.key] = flight
            let uses = queued.count(where: \.isUse)
            shard.beginArriving(payload, leases: queued.count, uses: uses)
            state.add(uses, missesOf: shard)
            return queued
        }
        for request in requests { request.settle(.success(shard)) }
    }

    /// An event behind all copies to the device that are queued now; nil for RAM.
    ///
    /// - Throws: ``TierError/closed(tier:)``, ``DeviceError``.
    func mark() throws -> DeviceEvent? {
        guard let medium = state.withLock({ $0.medium }) else { throw TierError.closed(tier: tier) }
        return try medium.mark()
    }

    /// Ends a load.
    private func finishLoad(_ load: PreparedLoad, _ result: Result<Payload, any Error>) {
        let shard = load.shard
        var again: PreparedLoad?
        let requests = state.withLock { state -> [LeaseRequest]? in
            let requests = state.inFlight.removeValue(forKey: shard.key)!.requests
            // `Store.stopFetching` ends fetches with the same error, but does not cancel `work`: then the load is not
            // repeated.
            if case .failure(is CancellationError) = result, load.work.isCancelled, !requests.isEmpty {
                // The load was cancelled because no request waited for it, and a new request has joined since.
                let flight = InFlightLoad(shard: shard, requests: requests)
                state.inFlight[shard.key] = flight
                again = PreparedLoad(
                    shard: shard, medium: load.medium, reservation: load.reservation, work: flight.work,
                    request: requests.first.map { ObjectIdentifier($0) } ?? load.request)
                return nil
            }
            state.loading -= shard.bytes
            switch result {
            case .success(let payload):
                let now = StoreClock.coarse
                shard.account.begin(at: now)
                let uses = requests.count(where: \.isUse)
                shard.finishLoading(payload, leases: requests.count, uses: uses, at: now)
                state.add(uses, missesOf: shard)
                state.resident += shard.bytes
                state.loaded += shard.bytes
                state.activity.addLoad(
                    bytes: shard.bytes, seconds: (ContinuousClock.now - load.start) / .seconds(1),
                    isFetched: load.isFetched)
            case .failure(let error):
                shard.failLoading()
                state.failures += 1
                if !(error is CancellationError) { state.activity.failures += 1 }
                state.removeIfUnused(shard)
            }
            return requests
        }
        guard let requests else {
            if let again { startLoad(again) }
            return
        }
        trimIfAboveWatermark()
        if isClosed { evictUnleased(shard) }
        for request in requests { request.settle(result.map { _ in shard }) }
        // There may be space now: a failed load freed its own, and a shard without requests can be evicted.
        if case .success = result, !requests.isEmpty { return }
        retryWaitingRequests()
    }
}
