import DeviceMemory

/// A request that waits for space in a tier.
struct WaitingRequest {
    let request: LeaseRequest
    /// Its number in the order in which requests began to wait.
    let number: Int
    /// The time at which it began to wait, by `StoreClock.coarse`.
    let since: Int64
    /// The time since which it waits only for evicted memory to be free; nil if it waits for releases of leases, or for the
    /// end of a load.
    let lateSince: Int64?
    /// The time at which the wait ends.
    let deadline: Int64
    /// Why it waits: its error, if the wait ends without space.
    let cause: any Error
}

/// The requests that wait for space in a tier, in the order in which they began to wait.
///
/// They are started again in passes. Requests that wait for releases are served in their order: if one has to wait again,
/// the pass skips those behind it. The other requests never wait behind another one.
///
/// There is one pass at a time, so that a request cannot overtake another one that is being started. What happens during a
/// pass is seen by the next one.
struct WaitQueue {
    private struct Pass {
        /// The number of the last request that was started.
        var last = 0
        /// Whether a request that waits for releases had to wait again.
        var isBlocked = false
        /// Whether another pass was wanted since this one began.
        var mustRepeat = false
    }

    private var requests: [WaitingRequest] = []
    private var lastNumber = 0
    private var pass: Pass?
    /// Whether the deadlines are being watched.
    var isWatched = false

    var count: Int { requests.count }

    /// Whether one of the requests waits for memory of a device that others use.
    var needsPolling: Bool { requests.contains { $0.cause is DeviceError } }

    mutating func nextNumber() -> Int {
        lastNumber += 1
        return lastNumber
    }

    /// Adds a request at its place.
    mutating func insert(_ waiting: WaitingRequest) {
        let place = requests.firstIndex { $0.number > waiting.number } ?? requests.endIndex
        requests.insert(waiting, at: place)
        if waiting.number == pass?.last, waiting.request.waitsForSpace { pass?.isBlocked = true }
    }

    /// Removes a request.
    ///
    /// - Returns: false if it does not wait.
    mutating func remove(_ request: LeaseRequest) -> Bool {
        guard let place = requests.firstIndex(where: { $0.request === request }) else { return false }
        requests.remove(at: place)
        return true
    }

    /// Removes the requests whose wait ends.
    mutating func removeExpired(at now: Int64) -> [WaitingRequest] {
        let expired = requests.filter { $0.deadline <= now }
        if !expired.isEmpty { requests.removeAll { $0.deadline <= now } }
        return expired
    }

    /// Begins a pass.
    ///
    /// - Returns: false if one is under way; then ``endPass()`` reports that another one must follow.
    mutating func beginPass() -> Bool {
        if pass != nil {
            pass?.mustRepeat = true
            return false
        }
        pass = Pass()
        return true
    }

    /// Removes and returns the next request to start; nil if none is left for this pass.
    mutating func next() -> WaitingRequest? {
        guard let current = pass,
            let place = requests.firstIndex(where: {
                $0.number > current.last && !(current.isBlocked && $0.request.waitsForSpace)
            })
        else { return nil }
        let next = requests.remove(at: place)
        pass?.last = next.number
        return next
    }

    /// Ends a pass.
    ///
    /// - Returns: whether another one must follow.
    mutating func endPass() -> Bool {
        defer { pass = nil }
        return pass?.mustRepeat ?? false
    }
}
