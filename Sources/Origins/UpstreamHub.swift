import Support
import Synchronization
import WeightStore

/// The hub behind a server: adds revisions that clients request and the store lacks. Their bytes are fetched when a
/// client requests them.
public struct UpstreamHub: PullThrough {
    private let store: Store
    private let url: String
    private let compared = ComparedCommits()

    /// Checks the URL; sends no request.
    ///
    /// - Parameter url: as ``PullRequest/origin``.
    /// - Throws: ``FetchError/unusable(url:reason:)``.
    public init(_ store: Store, url: String) throws {
        self.store = store
        self.url = try store.checkOrigin(url)
    }

    /// Adds a revision's list of files to the store.
    ///
    /// - Returns: false if the hub does not have the revision.
    /// - Throws: ``FetchError``; an error of the store.
    public func pull(model: String, revision: String) async throws -> Bool {
        var request = try PullRequest("\(model)@\(revision)")
        request.origin = url
        request.selection = .nothing
        do {
            try await store.pull(request, work: Work(within: store.missWork))
            return true
        } catch FetchError.notFound {
            return false
        }
    }

    /// Adds the files of a revision's commit that the store lacks.
    ///
    /// - Returns: false if it lacks none.
    /// - Throws: ``FetchError``; an error of the store.
    public func pull(file path: String, model: String, revision: String) async throws -> Bool {
        try await complete(model: model, revision: revision)
    }

    /// Adds the files of a revision's commit that the store lacks. The hub is asked once for each commit, and again
    /// after a failure.
    ///
    /// - Returns: false if it lacks none.
    /// - Throws: ``FetchError``; an error of the store.
    public func complete(model: String, revision: String) async throws -> Bool {
        let work = Work(within: store.missWork)
        return try await work.run { [store, url, compared] in
            let name = revision == "main" ? model : "\(model)@\(revision)"
            var commit: String?
            do {
                let done = try store.completeBlocking(name, from: url, work: work) {
                    commit = $0
                    return try compared.isDone(model, $0)
                }
                guard let done else { return false }
                compared.add(model, done.commit, failure: nil)
                return done.isFuller
            } catch let error as FetchError {
                // A hub without the model has no files of it.
                if case .notFound = error {
                    if let commit { compared.add(model, commit, failure: nil) }
                    return false
                }
                if let commit { compared.add(model, commit, failure: error) }
                throw error
            }
        }
    }
}

/// The commits whose files were compared with those of the hub, and the last failures to do so.
private final class ComparedCommits: Sendable {
    private struct Failure {
        let error: FetchError
        /// nil: the answer does not change.
        let end: ContinuousClock.Instant?
    }

    private struct State {
        var done: Set<String> = []
        var failures: [String: Failure] = [:]
    }

    private let state = Mutex(State())
    /// The time after which a hub that has not answered is asked again.
    private static let retrySeconds = 30
    /// The most commits that are remembered.
    private static let most = 1 << 16

    /// - Throws: the error of the last comparison.
    func isDone(_ model: String, _ commit: String) throws -> Bool {
        try state.withLock { state in
            let name = "\(model)@\(commit)"
            if let failure = state.failures[name], failure.end.map({ ContinuousClock.now < $0 }) ?? true {
                throw failure.error
            }
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
            let known = state.failures[name]
            if let known, known.error == failure, known.end.map({ ContinuousClock.now < $0 }) ?? true { return }
            var end: ContinuousClock.Instant? = ContinuousClock.now + .seconds(Self.retrySeconds)
            if case .commitGone = failure { end = nil }
            state.failures[name] = Failure(error: failure, end: end)
        }
    }
}
