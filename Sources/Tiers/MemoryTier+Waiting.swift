import DeviceMemory
import Dispatch
import Storage

/// Requests that wait for space: until a lease is released, a load ends, or evicted memory is free.
///
/// No wake-up is lost. A request joins the queue under the tier's lock, under which it has found no space. The release of
/// a lease reads `waiters`, which counts the request before it reads the leases. The release of memory is reported to
/// `retryInBackground`, which uses the lock, and so finds the request in the queue.
extension MemoryTier {
    /// The time in nanoseconds after which a request that waits for space fails: the holder of the leases may be waiting
    /// for it.
    private static let longestWait: Int64 = 60_000_000_000
    /// The time in nanoseconds after which a request fails that waits only for evicted memory to be free: the free space
    /// probably is fragmented.
    private static let mostLateness: Int64 = 1_000_000_000
    /// The time between two looks at the deadlines, in milliseconds.
    private static let watchInterval = 200

    /// Adds a request that has found no space to the queue, if a wait can help.
    ///
    /// - Parameter former: the request as it waited until now; nil for a new one.
    /// - Returns: the error of a request that does not wait; nil if it does.
    func wait(
        _ request: LeaseRequest, _ former: WaitingRequest?, after error: any Error, _ state: inout State
    ) -> (any Error)? {
        let now = StoreClock.coarse
        let (isLate, cause) = (error is LateSpace, (error as? LateSpace)?.cause ?? error)
        let isForReleases = Self.isShortage(cause) && waitingHelps(request, state)
        let since = former?.since ?? now
        let lateSince = isForReleases ? nil : former?.lateSince ?? now
        let deadline = lateSince.map { $0 + Self.mostLateness } ?? since + Self.longestWait
        guard isLate || isForReleases, now < deadline else { return cause }
        state.waiting.insert(
            WaitingRequest(
                request: request, number: former?.number ?? state.waiting.nextNumber(), since: since,
                lateSince: lateSince, deadline: deadline, cause: cause))
        if !state.waiting.isWatched {
            state.waiting.isWatched = true
            scheduleWatch()
        }
        return nil
    }

    /// Whether released leases may help.
    private static func isShortage(_ error: any Error) -> Bool {
        if case .full = error as? TierError { return true }
        return (error as? DeviceError)?.isShortage ?? false
    }

    /// Whether a wait can help: for a request with `waitsForSpace`, because leases will be released; for every request,
    /// because an abandoned load will end and free its space.
    private func waitingHelps(_ request: LeaseRequest, _ state: State) -> Bool {
        guard request.wanted.reduce(0, { $0 + $1.bytes }) <= budget else { return false }
        return request.waitsForSpace || state.inFlight.values.contains { $0.requests.isEmpty }
    }

    /// Starts the waiting requests again, if there are any. Every release of a shard's last lease calls it.
    func retryWaitingRequests() {
        if waiters.load(ordering: .sequentiallyConsistent) > 0 { serveWaitingRequests() }
    }

    /// As `retryWaitingRequests`, on another thread: callable with any lock held.
    func retryInBackground() {
        DispatchQueue.global().async { [weak self] in self?.serveWaitingRequests() }
    }

    /// Runs a pass of the queue, unless another thread runs one: then another pass follows that one, on another thread, so
    /// that no release serves those of all other threads.
    private func serveWaitingRequests() {
        guard state.withLock({ $0.waiting.beginPass() }) else { return }
        while let next = state.withLock({ $0.waiting.next() }) {
            waiters.subtract(1, ordering: .sequentiallyConsistent)
            start(next.request, again: next)
        }
        if state.withLock({ $0.waiting.endPass() }) { retryInBackground() }
    }

    /// Looks at the deadlines as long as requests wait: one timer for all of them.
    private func scheduleWatch() {
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(Self.watchInterval)) { [weak self] in
            self?.watchWaitingRequests()
        }
    }

    /// Ends the waits whose time is over.
    private func watchWaitingRequests() {
        let (expired, needsPolling, isWatched) = state.withLock { state in
            let expired = state.waiting.removeExpired(at: StoreClock.coarse)
            state.waiting.isWatched = state.waiting.count > 0
            return (expired, state.waiting.needsPolling, state.waiting.isWatched)
        }
        for waiting in expired {
            waiters.subtract(1, ordering: .sequentiallyConsistent)
            waiting.request.end(of: waiting.cause)
        }
        // Others may have waited behind those. And nothing reports that others release memory of the device.
        if needsPolling || !expired.isEmpty { serveWaitingRequests() }
        if isWatched { scheduleWatch() }
    }
}
