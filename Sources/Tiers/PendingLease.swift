import Dispatch
import Support
import Synchronization

/// A lease whose shards are being loaded. Releasing the value before its lease is retrieved cancels the request.
package final class PendingLease: Sendable {
    private enum State {
        case pending
        case awaited(CheckedContinuation<ShardGroup, any Error>)
        /// All shards of the group are leased, or the reason why they are not.
        case done(Result<ShardGroup, any Error>)
        case taken
    }

    /// The receiver of the request's result. It may outlive the `PendingLease`.
    ///
    /// It holds leases as counts on the shards of a group, never as a `Lease`; the thread that retrieves the result
    /// creates the `Lease`. A loading thread may keep its reference to a result for some time after the delivery. If
    /// the result contained a `Lease`, shards would stay in use after their only holder released them, and the next
    /// request could find the tier full.
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

    /// The request to the tier, set once the group is known.
    private final class Pending: Sendable {
        private struct State {
            var request: (tier: MemoryTier, request: LeaseRequest)?
            var isCancelled = false
        }

        private let state = Mutex(State())
        /// The work of the fetch that precedes the request.
        let fetch: Work

        init(within work: Work?) { fetch = Work(within: work) }

        /// - Returns: false if it is cancelled already.
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
    ///   - waitsForSpace: if the tier is full of leased shards, wait for releases, after earlier requests.
    ///   - warming: the rules of a warm-up, which does not count as an access; nil for a use.
    package init(_ group: ShardGroup, waitsForSpace: Bool = false, warming: WarmUpRules? = nil) {
        pending = Pending(within: nil)
        isUse = warming == nil
        Self.start(group, waitsForSpace, warming, pending, outcome)
    }

    /// As `init(_:waitsForSpace:)`, for a group with bytes that must be fetched first, on a separate thread.
    ///
    /// - Parameters:
    ///   - work: cancelling it ends the fetch.
    ///   - fetch: fetches the bytes and returns the group; may block.
    package init(
        within work: Work? = nil, waitsForSpace: Bool = false,
        fetching fetch: @escaping @Sendable (Work) throws -> ShardGroup
    ) {
        pending = Pending(within: work)
        isUse = true
        Task.detached { [pending, outcome] in
            do {
                let group = try await onThread { try fetch(pending.fetch) }
                Self.start(group, waitsForSpace, nil, pending, outcome)
            } catch {
                outcome.settle(.failure(error))
            }
        }
    }

    private static func start(
        _ group: ShardGroup, _ waitsForSpace: Bool, _ warming: WarmUpRules?, _ pending: Pending, _ outcome: Outcome
    ) {
        let tier = group.tier
        let request = LeaseRequest(
            group.shards, waitsForSpace: waitsForSpace, warming: warming, release: { tier.release($0) },
            completion: { result in outcome.settle(result.map { group }) })
        guard pending.set(tier, request) else { return outcome.settle(.failure(CancellationError())) }
        tier.start(request)
    }

    deinit { cancel() }

    /// Cancels the fetch and the request.
    package func cancel() { pending.cancel() }

    /// Waits until all shards are loaded, and returns the lease. Call it once.
    package func value() async throws -> Lease {
        let group = try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { outcome.deliver(to: $0) }
        } onCancel: {
            cancel()
        }
        return Lease(group, isUse: isUse)
    }

    /// As `value`, but blocks the calling thread.
    package func wait() throws -> Lease { Lease(try outcome.wait(), isUse: isUse) }
}
