import Synchronization
import WeightStore

/// The commits whose files were compared with those of the hub, and the last failures to do so.
///
/// Clients request many files that few models have: without it, each such request would be one to the hub.
final class ComparedCommits: Sendable {
    private struct Failure {
        let error: FetchError
        let end: ContinuousClock.Instant
    }

    private struct State {
        var done: Set<String> = []
        var failures: [String: Failure] = [:]
    }

    private let state = Mutex(State())
    private let retryTime: Duration
    private let goneTime: Duration
    /// The most commits that are remembered.
    private static let most = 1 << 16

    /// - Parameters:
    ///   - retryTime: the time after which a request to a hub that has not answered is repeated.
    ///   - goneTime: the time after which a commit that the hub no longer had is requested again: its history may have been
    ///     restored.
    init(retryTime: Duration = .seconds(30), goneTime: Duration = .seconds(600)) {
        self.retryTime = retryTime
        self.goneTime = goneTime
    }

    /// - Throws: the error of the last comparison, until it is repeated.
    func isDone(_ model: String, _ commit: String) throws -> Bool {
        try state.withLock { state in
            let name = "\(model)@\(commit)"
            if let failure = state.failures[name], failure.end > .now { throw failure.error }
            return state.done.contains(name)
        }
    }

    func add(_ model: String, _ commit: String, failure: FetchError?) {
        state.withLock { state in
            let name = "\(model)@\(commit)"
            if state.done.count + state.failures.count >= Self.most { state = State() }
            guard let failure else {
                state.failures[name] = nil
                state.done.insert(name)
                return
            }
            // The remembered failure itself is passed, too: it stays until its end.
            if let known = state.failures[name], known.error == failure, known.end > .now { return }
            let isGone = if case .commitGone = failure { true } else { false }
            state.failures[name] = Failure(error: failure, end: .now + (isGone ? goneTime : retryTime))
        }
    }
}
