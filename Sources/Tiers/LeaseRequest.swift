import Synchronization

/// A request for leases on several shards of one tier: all of them or none.
///
/// The tier reports each shard that is loaded or fails. At the end, the request calls its completion once.
package final class LeaseRequest: Sendable {
    private struct State {
        /// The shards leased so far.
        var held: [ResidentShard] = []
        /// The number of shards that are loading, plus one while the tier processes the request.
        var pending = 1
        var failure: (any Error)?
        var completion: (@Sendable (Result<Void, any Error>) -> Void)?
    }

    /// The requested shards.
    package let wanted: [ResidentShard]
    /// Whether to wait for releases if the tier is full of leased shards.
    let waitsForSpace: Bool
    /// Whether a shard counts as leased once its copies to the device are queued.
    let whenQueued: Bool
    /// The rules of a warm-up; nil for a request that uses its shards.
    package let warming: WarmUpRules?
    private let state: Mutex<State>
    private let release: @Sendable (ResidentShard) -> Void

    var isUse: Bool { warming == nil }

    /// - Parameters:
    ///   - release: releases a lease.
    ///   - completion: on success, all wanted shards are leased. Called once, on any thread.
    init(
        _ wanted: [ResidentShard], waitsForSpace: Bool, whenQueued: Bool = false, warming: WarmUpRules? = nil,
        release: @escaping @Sendable (ResidentShard) -> Void,
        completion: @escaping @Sendable (Result<Void, any Error>) -> Void
    ) {
        self.wanted = wanted
        self.waitsForSpace = waitsForSpace
        self.whenQueued = whenQueued
        self.warming = warming
        self.release = release
        state = Mutex(State(completion: completion))
    }

    /// The first failure.
    package var failure: (any Error)? { state.withLock { $0.failure } }

    /// Adds a shard that is leased.
    package func hold(_ shard: ResidentShard) { state.withLock { $0.held.append(shard) } }

    /// Adds a shard that is loading.
    package func expect() { state.withLock { $0.pending += 1 } }

    /// Ends the wait for an expected shard, which is leased or has failed.
    package func settle(_ result: Result<ResidentShard, any Error>) {
        finish { state in
            switch result {
            case .success(let shard): state.held.append(shard)
            case .failure(let error): state.failure = state.failure ?? error
            }
            state.pending -= 1
        }
    }

    /// Ends the tier's processing of the request.
    package func end(of failure: (any Error)?) {
        finish { state in
            state.failure = state.failure ?? failure
            state.pending -= 1
        }
    }

    /// Records a failure that ends the request once nothing is pending.
    package func fail(_ error: any Error) { state.withLock { $0.failure = $0.failure ?? error } }

    private func finish(_ change: (inout State) -> Void) {
        let end = state.withLock { state -> State? in
            change(&state)
            guard state.pending == 0, state.completion != nil else { return nil }
            defer { state = State(held: [], pending: 0, failure: state.failure, completion: nil) }
            return state
        }
        guard let end else { return }
        if let failure = end.failure {
            for shard in end.held { release(shard) }
            end.completion?(.failure(failure))
        } else {
            end.completion?(.success(()))
        }
    }
}
