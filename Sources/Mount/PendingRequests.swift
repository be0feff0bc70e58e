import Dispatch
import Support
import Synchronization

/// Requests whose answers wait for an origin or a lock, by their numbers. The kernel interrupts those whose process was
/// signalled, and waits for their answers; those that wait for too long are cancelled.
final class PendingRequests: Sendable {
    final class Request: Sendable {
        let work: Work
        private let deadline: ContinuousClock.Instant
        private let late = Atomic(false)

        fileprivate init(_ work: Work, _ deadline: ContinuousClock.Instant) {
            self.work = work
            self.deadline = deadline
        }

        /// Whether it was cancelled because its time was over.
        var isLate: Bool { late.load(ordering: .sequentiallyConsistent) }

        fileprivate func endIfLate(_ now: ContinuousClock.Instant) {
            guard deadline <= now, !work.isCancelled else { return }
            late.store(true, ordering: .sequentiallyConsistent)
            work.cancel()
        }
    }

    private struct State {
        var requests: [UInt64: Request] = [:]
        /// Interrupts that were read before their requests were added, the newest last.
        var early: [UInt64] = []
        var isStopped = false
    }

    /// The most early interrupts that are remembered. Most are for requests that were answered meanwhile.
    private static let mostEarly = 64

    private let state = Mutex(State())
    private let timeout: Duration
    /// Dispatch's objects are safe to use from any thread.
    nonisolated(unsafe) private let timer: any DispatchSourceTimer

    /// - Parameter timeoutSeconds: the longest time that a request waits.
    init(timeoutSeconds: Double) {
        timeout = .seconds(timeoutSeconds)
        timer = DispatchSource.makeTimerSource(queue: .global())
        timer.schedule(deadline: .now() + 1, repeating: 1, leeway: .milliseconds(200))
        timer.setEventHandler { [weak self] in self?.endLate() }
        timer.resume()
    }

    deinit { timer.cancel() }

    /// Adds a request.
    ///
    /// - Parameter parent: cancelling it cancels the request, too.
    func add(_ number: UInt64, within parent: Work) -> Request {
        let request = Request(Work(within: parent), .now + timeout)
        let isCancelled = state.withLock { state in
            state.requests[number] = request
            if state.isStopped { return true }
            guard let index = state.early.firstIndex(of: number) else { return false }
            state.early.remove(at: index)
            return true
        }
        if isCancelled { request.work.cancel() }
        return request
    }

    /// Ends a request, which is then no longer interrupted or cancelled.
    ///
    /// - Returns: whether it was not ended before, so that the caller answers it.
    @discardableResult
    func remove(_ number: UInt64) -> Bool { state.withLock { $0.requests.removeValue(forKey: number) != nil } }

    /// Cancels a request whose process was signalled.
    func interrupt(_ number: UInt64) {
        let request = state.withLock { state -> Request? in
            if let request = state.requests[number] { return request }
            state.early.append(number)
            if state.early.count > Self.mostEarly { state.early.removeFirst() }
            return nil
        }
        request?.work.cancel()
    }

    /// Cancels all requests, and those that follow.
    func stop() {
        let requests = state.withLock { state in
            state.isStopped = true
            return Array(state.requests.values)
        }
        for request in requests { request.work.cancel() }
    }

    private func endLate() {
        let requests = state.withLock { Array($0.requests.values) }
        let now = ContinuousClock.now
        for request in requests { request.endIfLate(now) }
    }
}
