import Dispatch
import Foundation
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

    /// What is asked of the tier, once it is known what that is.
    private final class Wish: Sendable {
        private struct State {
            var request: (tier: MemoryTier, request: LeaseRequest)?
            var isCancelled = false
        }

        private let state = Mutex(State())

        /// - Returns: false if it was cancelled before.
        func make(_ tier: MemoryTier, _ request: LeaseRequest) -> Bool {
            state.withLock { state in
                state.request = (tier, request)
                return !state.isCancelled
            }
        }

        func cancel() {
            let wish = state.withLock { state in
                state.isCancelled = true
                return state.request
            }
            if let (tier, request) = wish { tier.cancel(request) }
        }
    }

    private let wish = Wish()
    private let outcome = Outcome()

    /// Begins to bring the group's shards in.
    ///
    /// - Parameters:
    ///   - waitsForRoom: if the tier is full of leased shards, wait until some are given back, behind those who wait
    ///     already.
    ///   - warming: the lease is no use, and may evict only what this says.
    init(_ group: ShardGroup, waitsForRoom: Bool = false, warming: Warming? = nil) {
        Self.start(group, waitsForRoom, warming, wish, outcome)
    }

    /// As `init(_:waitsForRoom:)`, with bytes of the group that must be fetched first, on a thread of its own.
    ///
    /// - Parameter fetch: gives the group; blocks.
    init(fetching fetch: @escaping @Sendable () throws -> ShardGroup, waitsForRoom: Bool = false) {
        Thread.detachNewThread { [wish, outcome] in
            do {
                Self.start(try fetch(), waitsForRoom, nil, wish, outcome)
            } catch {
                outcome.settle(.failure(error))
            }
        }
    }

    private static func start(
        _ group: ShardGroup, _ waitsForRoom: Bool, _ warming: Warming?, _ wish: Wish, _ outcome: Outcome
    ) {
        let tier = group.tier
        let request = LeaseRequest(
            group.shards, waitsForRoom: waitsForRoom, warming: warming, release: { tier.release($0) }
        ) { result in
            outcome.settle(result.map { Lease(group, isUse: warming == nil) })
        }
        guard wish.make(tier, request) else { return outcome.settle(.failure(CancellationError())) }
        tier.start(request)
    }

    deinit { cancel() }

    func cancel() { wish.cancel() }

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
