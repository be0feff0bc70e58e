import DeviceMemory
import Dispatch
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

    /// A load that is about to start.
    private struct PreparedLoad {
        let shard: ResidentShard
        let medium: any TierMedium
        let reservation: Reservation
        let work: Work
        let start = ContinuousClock.now
        /// Whether the shard's file is fetched first.
        var isFetched = false
    }

    /// The state under the tier's lock.
    package struct State {
        /// The bytes of the ready shards.
        package var resident = 0
        /// The bytes of the loading shards.
        package var loading = 0
        package var table: [ResidentShard.Key: ResidentShard] = [:]
        var inFlight: [ResidentShard.Key: InFlightLoad] = [:]
        /// The requests that wait for releases, in order.
        package var waiting: [LeaseRequest] = []
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
    private let fetcher: TierFetcher?
    private let recorder: AccessRecorder?
    package let state: Mutex<State>
    /// The number of requests that wait for space or are about to. Every release reads it, without the lock.
    private let waiters = Atomic<Int>(0)
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

    // MARK: Requests

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
                let isLate =
                    error is LateSpace && request.retries.add(1, ordering: .relaxed).newValue <= Self.mostRetries
                let error = (error as? LateSpace)?.cause ?? error
                guard isLate || (Self.isShortage(error) && waitingHelps(request, state)) else { return error }
                if !request.waitsForSpace { waiters.add(1, ordering: .sequentiallyConsistent) }
                state.waiting.append(request)
                if isLate { scheduleRetry() }
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

    /// The budget has space, and the device's memory has not: an evicted region is free only once the last thread that
    /// uses it, such as the one that has uploaded it, has released it. No event reports that, so the request is
    /// retried.
    private struct LateSpace: Error {
        let cause: any Error
    }

    /// Whether released leases may help.
    private static func isShortage(_ error: any Error) -> Bool {
        if case .full = error as? TierError { return true }
        return (error as? DeviceError)?.isShortage ?? false
    }

    /// For a second, after which the free space counts as fragmented.
    private static let mostRetries = 50
    /// In milliseconds.
    private static let retryInterval = 20

    private func scheduleRetry() {
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(Self.retryInterval)) { [weak self] in
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
            return PreparedLoad(shard: shard, medium: medium, reservation: reservation, work: flight.work)
        }
    }

    // MARK: Loads

    private func startLoad(_ load: PreparedLoad) {
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
        fetcher.start(shard.digest, after: error, load.work) { [self, load] fetched in
            if case .failure(let error) = fetched { return finishLoad(load, .failure(error)) }
            load.medium.load(
                shard, at: path(shard.digest), into: load.reservation, load.work
            ) { [self] payload in
                beginArriving(load, payload)
            } completion: { [self] result in
                finishLoad(load, result)
            }
        }
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
                    shard: shard, medium: load.medium, reservation: load.reservation, work: flight.work)
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

    // MARK: Eviction

    /// Reserves space for the absent shards of a request, evicting others if necessary.
    ///
    /// - Throws: ``TierError/full(tier:requested:budget:inUse:)`` if the evictable shards do not suffice. Their sizes
    ///   are added up first, so then nothing is evicted, unless leases were added meanwhile or device memory is
    ///   fragmented. ``DeviceError/outOfMemory(_:requested:free:)`` if others use the device's memory.
    private func reserveSpace(
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
        for index in shards.indices.sorted(by: { shards[$0].bytes > shards[$1].bytes }) {
            while reserved[index] == nil {
                do {
                    reserved[index] = try medium.reserve(bytes: shards[index].bytes)
                } catch let error as DeviceError where error.isShortage {
                    // Evicted regions become free only when their values are released, and free space may be
                    // fragmented, or the device's memory used by others.
                    if !garbage.isEmpty {
                        garbage = []
                    } else if evictNext() == 0 {
                        if case .arenaFull = error { throw LateSpace(cause: full()) }
                        throw LateSpace(cause: error)
                    }
                }
            }
        }
        return shards.indices.compactMap { reserved[$0] }
    }
}
