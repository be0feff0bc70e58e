import Dispatch
import Support
import Synchronization

/// A lease that is being loaded. If the value is dropped before the lease is taken from it, the lease ends.
package final class PendingLease: Sendable {
    private enum State {
        case pending
        case awaited(CheckedContinuation<ShardGroup, any Error>)
        /// All shards of the group are leased, or the reason why they are not.
        case done(Result<ShardGroup, any Error>)
        case taken
    }

    /// What the request calls back into: it outlives the value, the request does not.
    ///
    /// It holds leases as counts on the shards of a group, never as a `Lease`: the `Lease` is made by the thread that
    /// takes it. A loader's thread may keep its reference to a result for some time after it has delivered it; with a
    /// `Lease` in it, shards would seem to be in use that the only holder has already released, and the next request would
    /// find the tier full.
    private final class Outcome: Sendable {
        private let state = Mutex(State.pending)
        private let end = DispatchSemaphore(value: 0)

        func settle(_ result: Result<ShardGroup, any Error>) {
            let continuation = state.withLock { state -> CheckedContinuation<ShardGroup, any Error>? in
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

        func deliver(to continuation: CheckedContinuation<ShardGroup, any Error>) {
            let result = state.withLock { state -> Result<ShardGroup, any Error>? in
                if case .done(let result) = state {
                    state = .taken
                    return result
                }
                state = .awaited(continuation)
                return nil
            }
            if let result { continuation.resume(with: result) }
        }

        func wait() throws -> ShardGroup {
            end.wait()
            let result = state.withLock { state -> Result<ShardGroup, any Error> in
                guard case .done(let result) = state else { fatalError("signalled before it was done") }
                state = .taken
                return result
            }
            return try result.get()
        }

        deinit {
            state.withLock { state in
                if case .done(.success(let group)) = state { group.release() }
            }
        }
    }

    /// The request to the tier, once it is known what to request.
    private final class Pending: Sendable {
        private struct State {
            var request: (tier: MemoryTier, request: LeaseRequest)?
            var isCancelled = false
        }

        private let state = Mutex(State())
        /// Of what must be fetched before the request can be made.
        let fetch: Work

        init(within work: Work?) { fetch = Work(within: work) }

        /// - Returns: false if it was cancelled before.
        func set(_ tier: MemoryTier, _ request: LeaseRequest) -> Bool {
            state.withLock { state in
                state.request = (tier, request)
                return !state.isCancelled
            }
        }

        func cancel() {
            let made = state.withLock { state in
                state.isCancelled = true
                return state.request
            }
            fetch.cancel()
            if let (tier, request) = made { tier.cancel(request) }
        }
    }

    private let pending: Pending
    private let outcome = Outcome()
    private let isUse: Bool

    /// Begins to load the group's shards.
    ///
    /// - Parameters:
    ///   - waitsForRoom: if the tier is full of leased shards, wait until some are released, behind earlier requests.
    ///   - warming: the lease does not count as a use, and may evict only what this allows.
    package init(_ group: ShardGroup, waitsForRoom: Bool = false, warming: Warming? = nil) {
        pending = Pending(within: nil)
        isUse = warming == nil
        Self.start(group, waitsForRoom, warming, pending, outcome)
    }

    /// As `init(_:waitsForRoom:)`, for a group of which bytes must be fetched first, on a thread of its own.
    ///
    /// - Parameters:
    ///   - work: cancelling it ends the fetch.
    ///   - fetch: returns the group; blocks.
    package init(
        within work: Work? = nil, waitsForRoom: Bool = false,
        fetching fetch: @escaping @Sendable (Work) throws -> ShardGroup
    ) {
        pending = Pending(within: work)
        isUse = true
        Task.detached { [pending, outcome] in
            do {
                let group = try await onThread { try fetch(pending.fetch) }
                Self.start(group, waitsForRoom, nil, pending, outcome)
            } catch {
                outcome.settle(.failure(error))
            }
        }
    }

    private static func start(
        _ group: ShardGroup, _ waitsForRoom: Bool, _ warming: Warming?, _ pending: Pending, _ outcome: Outcome
    ) {
        let tier = group.tier
        let request = LeaseRequest(
            group.shards, waitsForRoom: waitsForRoom, warming: warming, release: { tier.release($0) },
            completion: { result in outcome.settle(result.map { group }) })
        guard pending.set(tier, request) else { return outcome.settle(.failure(CancellationError())) }
        tier.start(request)
    }

    deinit { cancel() }

    package func cancel() { pending.cancel() }

    /// The lease, when all shards are loaded. Call it once.
    package func value() async throws -> Lease {
        let group = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { outcome.deliver(to: $0) }
        } onCancel: {
            cancel()
        }
        return Lease(group, isUse: isUse)
    }

    /// As `value`, for callers on threads of their own: blocks.
    package func wait() throws -> Lease { Lease(try outcome.wait(), isUse: isUse) }
}
