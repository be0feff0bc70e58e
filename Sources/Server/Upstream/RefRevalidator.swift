import Logging
import Origins
import Support
import WeightStore

/// Keeps the refs of pulled models at the commits that they have at the upstream.
///
/// A ref is compared when a client requests it, and it was not compared within the interval. There is one comparison per
/// ref at a time. Requests wait for it for a short time, and get the stored commit after that, or if it fails. For a ref that
/// the store lacks, they wait for its end.
actor RefRevalidator {
    private struct Key: Hashable {
        let model: ByteText
        let ref: ByteText
    }

    private struct State {
        /// The upstream's commit at the last comparison; nil if it has no such ref, or there was none.
        var commit: String?
        var hasFailed = false
        /// Ends with the comparison in progress, or when requests do not wait for it any longer.
        var wait: Task<Void, Never>?
    }

    /// The time that requests wait for a comparison.
    private static let patience = Duration.seconds(2)
    /// The time between two warnings.
    private static let warningTime = Duration.seconds(60)

    private let source: any PullThrough
    private let history: UpstreamHistory
    private let gate: FetchGate<Key, String?>
    private let metrics: FetchMetrics
    private let logger: Logger
    private let report: @Sendable (_ ref: String, _ failure: String) -> Void
    /// Of names that are refs of the store, and of `main`, so their number is limited.
    private var states: [Key: State] = [:]
    private var lastWarning: ContinuousClock.Instant?
    private var hasFailed = false

    init(
        _ source: any PullThrough, _ history: UpstreamHistory, _ metrics: FetchMetrics, logger: Logger,
        report: @escaping @Sendable (_ ref: String, _ failure: String) -> Void
    ) {
        self.source = source
        self.history = history
        self.metrics = metrics
        self.logger = logger
        self.report = report
        gate = FetchGate(.init(total: 16, perModel: 4), metrics)
    }

    /// Records that a ref was just pulled.
    func noteCurrent(_ model: String, _ ref: String) {
        history.noteCurrent(ref, of: model)
        states[Key(model: ByteText(model), ref: ByteText(ref))] = State()
    }

    /// Whether the upstream's commit of a ref is another one than the store's, and its revision has been added.
    ///
    /// - Parameters:
    ///   - commit: that of the ref in the store; nil if the store has no such ref.
    ///   - age: the time since the ref was set in the store, if it was: a pull, an import or a person has then said what
    ///     it names.
    func hasMoved(_ ref: String, of model: String, from commit: String?, age: Duration?) async -> Bool {
        let key = Key(model: ByteText(model), ref: ByteText(ref))
        if states[key]?.wait == nil, history.isDue(ref, of: model, age: age) { begin(key, commit) }
        await states[key]?.wait?.value
        guard let state = states[key] else { return false }
        // Still being compared, or failed.
        if state.hasFailed || state.wait != nil { metrics.stale.add(1) }
        return state.commit.map { $0 != commit } ?? false
    }

    private func begin(_ key: Key, _ commit: String?) {
        let (ends, end) = AsyncStream<Void>.makeStream()
        states[key, default: State()].wait = Task { for await _ in ends {} }
        let timer = Task {
            // Cancelled when the comparison has ended.
            try? await Task.sleep(for: Self.patience)
            // Without the ref, the store has no commit to serve in its place.
            if commit != nil { end.finish() }
        }
        // Detached: it must not end with the client whose request is the first one.
        Task.detached { [self] in
            await compare(key, commit)
            end.finish()
            timer.cancel()
        }
    }

    private func compare(_ key: Key, _ commit: String?) async {
        do {
            let now = try await gate.value(of: key, model: key.model.text) { [source] in
                try await source.revalidate(ref: key.ref.text, of: key.model.text, commit: commit)
            }
            metrics.noteUpstream()
            history.noteCurrent(key.ref.text, of: key.model.text)
            states[key] = State(commit: now)
            (now.map { $0 != commit } ?? false ? metrics.moved : metrics.unchanged).add(1)
            if hasFailed { logger.notice("refs are compared with the upstream again") }
            hasFailed = false
        } catch {
            metrics.noteUpstream(error)
            history.noteFailure(key.ref.text, of: key.model.text)
            states[key] = State(hasFailed: true)
            metrics.failed.add(1)
            hasFailed = true
            warn(key, error)
        }
    }

    private func warn(_ key: Key, _ error: any Error) {
        if error is CancellationError { return }
        if let lastWarning, lastWarning + Self.warningTime > .now { return }
        lastWarning = .now
        report("\(key.model)@\(key.ref)", "not compared with the upstream: \(error)")
        logger.warning(
            "\(key.model)@\(key.ref) was not compared with the upstream; the stored commit is served: \(error)")
    }
}
