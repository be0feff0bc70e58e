import Logging
import Origins
import Support
import WeightStore

/// The pulls behind requests for what the store lacks, and the refs behind an upstream.
///
/// Concurrent pulls of the same revision are one, and so are its completions. What the upstream denies
/// or does not have is remembered for some seconds (``UpstreamHistory``).
final class PullGate: Sendable {
    private struct Key: Hashable {
        let model: ByteText
        let revision: ByteText
        /// Whether files are added to a revision of the store.
        var isCompletion = false
    }

    /// The counters of this gate, and of all other fetches.
    let metrics: FetchMetrics
    private let source: (any PullThrough)?
    private let gate: FetchGate<Key, Bool>
    private let refs: RefRevalidator?
    private let history: UpstreamHistory

    /// - Parameter report: receives failures of the upstream that no client sees, at most once a minute: the ref, and a
    ///   sentence.
    init(
        _ source: (any PullThrough)?, _ metrics: FetchMetrics, logger: Logger,
        report: @escaping @Sendable (_ ref: String, _ failure: String) -> Void
    ) {
        self.source = source
        self.metrics = metrics
        // A pull of many files takes longer than clients wait: they repeat their request, and join the same pull.
        gate = FetchGate(.init(total: 16, perModel: 4, linger: .seconds(30)), metrics)
        let history = UpstreamHistory(interval: source?.revalidationInterval)
        self.history = history
        refs = source.flatMap { source in
            source.revalidationInterval == nil
                ? nil : RefRevalidator(source, history, metrics, logger: logger, report: report)
        }
    }

    /// - Throws: ``FetchError``: the source's refusal; other errors of the pull.
    func pull(model: String, revision: String) async throws -> Bool {
        guard let source else { return false }
        let key = Key(model: ByteText(model), revision: ByteText(revision))
        if let refusal = history.refusal(of: revision, model: model) {
            metrics.remembered.add(1)
            throw refusal
        }
        do {
            let isFound = try await gate.value(of: key, model: model) {
                try await source.pull(model: model, revision: revision)
            }
            metrics.noteUpstream()
            if isFound { await refs?.noteCurrent(model, revision) }
            return isFound
        } catch {
            metrics.noteUpstream(error)
            if let error = error as? FetchError { history.note(error, of: revision, model: model) }
            throw error
        }
    }

    /// As ``PullThrough/mayComplete(model:revision:)``.
    func mayComplete(model: String, revision: String) throws -> Bool {
        try source?.mayComplete(model: model, revision: revision) ?? false
    }

    func complete(model: String, revision: String) async throws -> Bool {
        guard let source else { return false }
        let key = Key(model: ByteText(model), revision: ByteText(revision), isCompletion: true)
        do {
            let isFound = try await gate.value(of: key, model: model) {
                try await source.complete(model: model, revision: revision)
            }
            if isFound { metrics.noteUpstream() }
            return isFound
        } catch {
            metrics.noteUpstream(error)
            throw error
        }
    }

    /// Whether a ref names another commit by now, whose revision has been added. Waits briefly for the upstream; for a ref
    /// that the store lacks, until it answers or fails.
    ///
    /// - Parameters:
    ///   - commit: that of the ref in the store; nil if the store has no such ref.
    ///   - age: the time since the ref was set in the store, if it was.
    func hasMoved(_ ref: String, of model: String, from commit: String?, age: Duration?) async -> Bool {
        await refs?.hasMoved(ref, of: model, from: commit, age: age) ?? false
    }
}
