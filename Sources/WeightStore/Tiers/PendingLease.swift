import Dispatch
import Synchronization

/// A lease that is on its way. Dropped before it was taken, it is given back.
final class PendingLease: Sendable {
    private enum State {
        case pending
        case awaited(CheckedContinuation<Lease, any Error>)
        case done(Result<Lease, any Error>)
        /// Whoever waited has it: kept here, it would be held for as long as a loader's thread looks back at it.
        case taken
    }

    /// What the request calls back into: it outlives the value, the request does not.
    private final class Outcome: Sendable {
        let state = Mutex(State.pending)
        let end = DispatchSemaphore(value: 0)

        func settle(_ result: Result<Lease, any Error>) {
            let continuation = state.withLock { state -> CheckedContinuation<Lease, any Error>? in
                guard case .awaited(let continuation) = state else {
                    state = .done(result)
                    return nil
                }
                state = .taken
                return continuation
            }
            continuation?.resume(with: result)
            end.signal()
        }
    }

    private let tier: MemoryTier
    private let request: LeaseRequest
    private let outcome = Outcome()

    /// Begins to bring the group's shards in.
    ///
    /// - Parameter waitsForRoom: if the tier is full of leased shards, wait until some are given back, behind those who
    ///   wait already.
    init(_ group: ShardGroup, waitsForRoom: Bool = false) {
        let tier = group.tier
        let outcome = outcome
        self.tier = tier
        request = LeaseRequest(group.shards, waitsForRoom: waitsForRoom, release: { tier.release($0) }) { result in
            outcome.settle(result.map { Lease(group) })
        }
        tier.start(request)
    }

    deinit { cancel() }

    func cancel() { tier.cancel(request) }

    /// The lease, when it is there. To be called once.
    func value() async throws -> Lease {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = outcome.state.withLock { state -> Result<Lease, any Error>? in
                    if case .done(let result) = state {
                        state = .taken
                        return result
                    }
                    state = .awaited(continuation)
                    return nil
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            cancel()
        }
    }

    /// As `value`, for callers on threads of their own: blocks.
    func wait() throws -> Lease {
        outcome.end.wait()
        let result = outcome.state.withLock { state -> Result<Lease, any Error> in
            guard case .done(let result) = state else { fatalError("signalled before it was done") }
            state = .taken
            return result
        }
        return try result.get()
    }
}
