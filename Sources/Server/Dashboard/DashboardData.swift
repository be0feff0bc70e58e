import Support
import WeightStore
import WireFormats

/// What the dashboard shows, read from the store. Each part is read at most once in its time, for all clients together; the
/// costly ones only if a client wants them.
struct DashboardData: Sendable {
    struct Tiers: Sendable, Encodable {
        let models: Int
        let stored: Int
        let tiers: [TierState]
        let processes: [ProcessState]
    }

    /// What the page of a model is read again for.
    struct ModelState: Equatable {
        /// nil if the model does not exist.
        let row: ModelRow?
        /// The processes that use it, by pid.
        let holds: [Int: [ProcessStatistics.Hold]]
    }

    let tiers: Recent<Tiers>
    let activity: Recent<Activity>
    let models: Recent<[ModelRow]>
    let events: Recent<[EventLine]>
    let map: Recent<DiskMap>
    let sizing: Recent<Sizing?>
    /// nil unless the server is a node of a fleet.
    let fleet: Recent<FleetOverview>?
    private let processes: Recent<[ProcessStatistics]>
    private let store: Store
    private let threads: BlockingThreads

    /// The lines of events.
    private static let mostEvents = 20
    /// The accesses that the forecast replays: some seconds of one processor.
    private static let replayedAccesses = 100_000

    init(_ store: Store, survey: DiskSurvey, fleet: (@Sendable () throws -> FleetOverview)?, threads: BlockingThreads) {
        self.store = store
        self.threads = threads
        tiers = Recent(for: .seconds(2)) { try await threads.run { try Self.tiers(of: store, survey) } }
        activity = Recent(for: .seconds(20)) {
            try await threads.run {
                let now = StoreClock.now
                return Activity(minutes: try store.activity(since: now - Activity.day), now: now)
            }
        }
        models = Recent(for: .seconds(5)) { try await threads.run { try store.models().map(ModelRow.init) } }
        events = Recent(for: .seconds(2)) {
            try await threads.run { try store.events(limit: Self.mostEvents).reversed().map(EventLine.init) }
        }
        processes = Recent(for: .seconds(2)) { try await threads.run { try store.liveProcesses() } }
        map = Recent(for: .seconds(60)) { try await threads.run { try store.diskMap(depth: .models) } }
        sizing = Recent(for: .seconds(600)) {
            try await threads.run {
                var request = QuotaForecastRequest()
                request.mostAccesses = Self.replayedAccesses
                request.policies = try ["lru", "gdsf"].map { try store.policy($0) }
                do {
                    return Sizing(try store.quotaForecastBlocking(request))
                } catch StorageError.notFound(kind: "record of accesses", _, _) {
                    return nil
                }
            }
        }
        self.fleet = fleet.map { read in Recent(for: .seconds(10)) { try await threads.run { try read() } } }
    }

    /// The layers of a model, or the shards of a layer, for the treemap.
    func map(of model: String, depth: DiskMap.Depth) async throws -> DiskMap {
        try await threads.run { [store] in try store.diskMap(of: model, depth: depth) }
    }

    /// The names of the tensors in the shards of a layer; of the shards outside layers, if `layer` is nil.
    func contents(ofLayer layer: Int?, of model: String) async throws -> [ContentDigest: [String]] {
        try await threads.run { [store] in try store.contents(ofLayer: layer, of: model) }
    }

    /// The page of a model.
    func details(of model: String) async throws -> ModelDetails {
        try await threads.run { [store] in try ModelDetails(model, in: store) }
    }

    /// The state of a model. Costs less than ``details(of:)``.
    func state(of model: String) async throws -> ModelState {
        let row = try await models.value.first { $0.name == model }
        var holds: [Int: [ProcessStatistics.Hold]] = [:]
        for process in try await processes.value {
            let own = process.holds.filter { $0.model == model }
            if !own.isEmpty { holds[process.pid, default: []] += own }
        }
        return ModelState(row: row, holds: holds)
    }

    private static func tiers(of store: Store, _ survey: DiskSurvey) throws -> Tiers {
        let totals = try store.totals()
        let processes = try store.liveProcesses()
        let disk = TierState(disk: totals, survey.latest(waiting: .milliseconds(50))?.gauge)
        return Tiers(
            models: totals.models, stored: totals.kinds[.weights]?.bytes ?? 0,
            tiers: [disk] + TierState.memory(of: processes),
            processes: processes.map(ProcessState.init))
    }
}
