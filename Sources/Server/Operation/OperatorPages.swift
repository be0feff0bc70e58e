import HTTPTypes
import Logging
import WeightStore

/// The pages for the operator: state, metrics and the dashboard.
///
/// The blocking forms are for the listener of the operator's own, which has its own threads.
struct OperatorPages: Sendable {
    private let store: Store
    private let threads: BlockingThreads
    private let metrics: ServerMetrics
    private let fetches: FetchMetrics
    private let survey: DiskSurvey
    private let options: ServerOptions
    private let logger: Logger
    /// The pages for people.
    let dashboard: Dashboard

    init(
        store: Store, _ options: ServerOptions, threads: BlockingThreads, metrics: ServerMetrics, fetches: FetchMetrics,
        logger: Logger
    ) {
        self.store = store
        self.options = options
        self.threads = threads
        self.metrics = metrics
        self.fetches = fetches
        self.logger = logger
        survey = DiskSurvey(store, logger: logger)
        dashboard = Dashboard(
            DashboardData(store, survey: survey, fleet: options.fleet, threads: threads), logger: logger)
    }

    /// Status 200: the process answers.
    func life() -> Answer { .text("ok\n", type: "text/plain; charset=utf-8") }

    func readiness(namesShards: Bool) async throws -> Answer {
        try await threads.run { [self] in try readinessBlocking(namesShards: namesShards) }
    }

    /// Status 200 if the server can do its work, and 503 with the reasons if not.
    ///
    /// - Parameter namesShards: whether to list the damaged shards.
    func readinessBlocking(namesShards: Bool) throws -> Answer {
        let readiness = Readiness(of: store, options.readiness, namesShards: namesShards)
        if let failure = readiness.failure { logger.error("not ready: \(failure)") }
        var answer = try Answer.json(readiness, status: readiness.isReady ? .ok : .serviceUnavailable)
        answer.fields[.cacheControl] = "no-store"
        return answer
    }

    func exposition() async throws -> Answer {
        try await threads.run { [self] in try expositionBlocking() }
    }

    /// The metrics.
    func expositionBlocking() throws -> Answer {
        var text = Exposition()
        StoreMetrics.writeBuild(options.build, to: &text)
        ProcessMetrics.write(to: &text)
        metrics.write(to: &text)
        fetches.write(to: &text)
        if let expiry = options.certificate?.expires { text.add(.certificateExpiry, expiry) }
        try options.nodeState?().write(to: &text)
        try StoreMetrics.write(store, survey.latest().map { ($0.gauge, $0.time) }, to: &text)
        return .text(text.text, type: Exposition.type)
    }
}
