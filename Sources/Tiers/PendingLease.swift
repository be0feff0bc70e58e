import Dispatch
import Support
import Synchronization

/// A lease whose shards are being loaded. Releasing the value before its lease is retrieved cancels the request.
package final class PendingLease: Sendable {
    /// The receiver of the request's result. It may outlive the `PendingLease`.
    ///
    /// It holds leases as counts on the shards of a group, never as a `Lease`, and only the thread that retrieves the
    /// result receives the group. A loading thread may keep what it was given for some time after the delivery. If that
    /// contained a `Lease` or the group, shards would stay in use after their only holder released them, and so would
    /// the revision: the next request could find the tier full, and a removal a revision in use.
    private final class Outcome: Sendable {
        private struct State {
            /// The group to lease, from the start of the request until the result is retrieved.
            var group: ShardGroup?
            /// Success means that all shards of the group are leased.
            var result: Result<Void, any Error>?
            var continuation: CheckedContinuation<Void, any Error>?
        }

        private let state = Mutex(State())
        private let end = DispatchSemaphore(value: 0)

        func hold(_ group: ShardGroup) { state.withLock { $0.group = group } }

        /// Holds a group in place of one with the same shards.
        ///
        /// - Returns: false, without a change, if its shards are others.
        func replace(by group: ShardGroup) -> Bool {
            guard let former = state.withLock({ $0.group }), former.hasShards(of: group) else { return false }
            // The former group ends outside the lock, as in `consume`.
            withExtendedLifetime(former) { hold(group) }
            return true
        }

        /// What the request is for; nil before a group is held.
        var wanted: (tier: MemoryTier, shards: [ResidentShard])? {
            state.withLock { state in state.group.map { ($0.tier, $0.shards) } }
        }

        func settle(_ result: Result<Void, any Error>) {
            let continuation = state.withLock { state in
                state.result = result
                defer { state.continuation = nil }
                return state.continuation
            }
            continuation?.resume(with: result)
            end.signal()
        }

        func value() async throws -> ShardGroup {
            defer { _ = consume() }
            try await withCheckedThrowingContinuation { continuation in
                let result = state.withLock { state in
                    if state.result == nil { state.continuation = continuation }
                    return state.result
                }
                if let result { continuation.resume(with: result) }
            }
            return retrieve()
        }

        func wait() throws -> ShardGroup {
            defer { _ = consume() }
            end.wait()
            guard let result = state.withLock({ $0.result }) else { fatalError("signalled before it was settled") }
            try result.get()
            return retrieve()
        }

        private func retrieve() -> ShardGroup {
            guard let group = consume() else { fatalError("a lease was retrieved twice") }
            return group
        }

        /// Returned, so that a group that is dropped ends outside the lock: leaving its shards takes the tier's.
        private func consume() -> ShardGroup? {
            state.withLock { state in
                defer { state.group = nil }
                return state.group
            }
        }

        deinit {
            state.withLock { state in
                if case .success = state.result { state.group?.release() }
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
    private let whenQueued: Bool

    /// Begins to load the group's shards.
    ///
    /// - Parameters:
    ///   - waitsForSpace: if the tier is full of leased shards, wait for releases, after earlier requests.
    ///   - whenQueued: on a device, the lease is ready once the copies of its bytes are queued (``Lease/arrival``).
    ///   - warming: the rules of a warm-up, which does not count as an access; nil for a use.
    package init(
        _ group: ShardGroup, waitsForSpace: Bool = false, whenQueued: Bool = false, warming: WarmUpRules? = nil
    ) {
        pending = Pending(within: nil)
        isUse = warming == nil
        self.whenQueued = whenQueued
        outcome.hold(group)
        Self.start(waitsForSpace, whenQueued, warming, pending, outcome)
    }

    /// As `init(_:waitsForSpace:)`, for a group with bytes that must be fetched first, on a separate thread.
    ///
    /// - Parameters:
    ///   - work: cancelling it ends the fetch.
    ///   - fetch: fetches the bytes and returns the group; may block.
    package init(
        within work: Work? = nil, waitsForSpace: Bool = false, whenQueued: Bool = false,
        fetching fetch: @escaping @Sendable (Work) throws -> ShardGroup
    ) {
        pending = Pending(within: work)
        isUse = true
        self.whenQueued = whenQueued
        do {
            try startThread { [pending, outcome] in
                Result { outcome.hold(try fetch(pending.fetch)) }
            } then: { [pending, outcome] fetched in
                if case .failure(let error) = fetched { return outcome.settle(.failure(error)) }
                Self.start(waitsForSpace, whenQueued, nil, pending, outcome)
            }
        } catch {
            outcome.settle(.failure(error))
        }
    }

    private static func start(
        _ waitsForSpace: Bool, _ whenQueued: Bool, _ warming: WarmUpRules?, _ pending: Pending, _ outcome: Outcome
    ) {
        guard let (tier, shards) = outcome.wanted else { return }
        let request = LeaseRequest(
            shards, waitsForSpace: waitsForSpace, whenQueued: whenQueued, warming: warming,
            release: { tier.release($0) },
            completion: { outcome.settle($0) })
        guard pending.set(tier, request) else { return outcome.settle(.failure(CancellationError())) }
        tier.start(request)
    }

    /// Makes the lease one on `group`, whose tensors were not known when the load of its shards began. Call it before the
    /// lease is retrieved.
    ///
    /// - Returns: false, without a change, if the shards of the group are others.
    package func replaceGroup(by group: ShardGroup) -> Bool { outcome.replace(by: group) }

    deinit { cancel() }

    /// Cancels the fetch and the request.
    package func cancel() { pending.cancel() }

    /// Waits until all shards are loaded, and returns the lease. Call it once.
    package func value() async throws -> Lease {
        let group = try await withTaskCancellationHandler {
            try await outcome.value()
        } onCancel: {
            cancel()
        }
        return try lease(group)
    }

    /// As `value`, but blocks the calling thread.
    package func wait() throws -> Lease { try lease(try outcome.wait()) }

    private func lease(_ group: ShardGroup) throws -> Lease {
        guard whenQueued, group.shards.contains(where: { $0.phase == .arriving }) else {
            return Lease(group, isUse: isUse)
        }
        do {
            return Lease(group, isUse: isUse, arrival: try group.tier.mark())
        } catch {
            group.release()
            throw error
        }
    }
}
