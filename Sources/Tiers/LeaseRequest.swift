import Synchronization

/// The wish for leases on several shards of one tier at once: they are all got, or none is kept.
///
/// The tier tells it of each shard that has come in, or failed to; at the end it calls back, once.
package final class LeaseRequest: Sendable {
    private struct State {
        /// Leases held already.
        var held: [Residency] = []
        /// Shards that are under way, and one for the tier's own handling of the request.
        var pending = 1
        var failure: (any Error)?
        var completion: (@Sendable (Result<Void, any Error>) -> Void)?
    }

    package let wanted: [Residency]
    /// Whether to wait, when the tier is full of leased shards, until some are given back.
    let waitsForRoom: Bool
    /// What the request may do that only warms; nil for one that uses its shards.
    package let warming: Warming?
    private let state: Mutex<State>
    private let release: @Sendable (Residency) -> Void

    var isUse: Bool { warming == nil }

    /// - Parameters:
    ///   - release: gives a lease back.
    ///   - completion: on success the wanted shards are all leased. May be called on any thread.
    init(
        _ wanted: [Residency], waitsForRoom: Bool, warming: Warming? = nil,
        release: @escaping @Sendable (Residency) -> Void,
        completion: @escaping @Sendable (Result<Void, any Error>) -> Void
    ) {
        self.wanted = wanted
        self.waitsForRoom = waitsForRoom
        self.warming = warming
        self.release = release
        state = Mutex(State(completion: completion))
    }

    package var failure: (any Error)? { state.withLock { $0.failure } }

    package func hold(_ shard: Residency) { state.withLock { $0.held.append(shard) } }

    /// A shard is under way.
    package func expect() { state.withLock { $0.pending += 1 } }

    /// A shard that was expected came in, leased; or did not.
    package func settle(_ result: Result<Residency, any Error>) {
        finish { state in
            switch result {
            case .success(let shard): state.held.append(shard)
            case .failure(let error): state.failure = state.failure ?? error
            }
            state.pending -= 1
        }
    }

    /// The tier has done all that it can do at once.
    package func end(of failure: (any Error)?) {
        finish { state in
            state.failure = state.failure ?? failure
            state.pending -= 1
        }
    }

    /// Notes a failure that ends the request as soon as nothing is pending any more.
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
