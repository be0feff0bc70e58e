import Files
import Storage
import Support
import Synchronization
import Tiers

/// Writes the statistics of this process beside its lease, every second, unless they have not changed.
///
/// It holds the parts of a store, and not the store: see `AccessLog`.
final class StatisticsWriter: Sendable {
    private let leases: LeaseDirectory
    private let tiers: TierSet
    private let fetches: RunningFetches
    private let activity: ActivityCounters
    private let startedAt = StoreClock.now
    private let written = Mutex<ProcessStatistics?>(nil)
    private let emitter = MetricsEmitter()
    private let layers: ResidentLayerIndex

    init(_ leases: LeaseDirectory, _ tiers: TierSet, _ fetches: RunningFetches, _ catalog: Catalog) {
        self.leases = leases
        self.tiers = tiers
        self.fetches = fetches
        activity = catalog.activity
        layers = ResidentLayerIndex(catalog)
    }

    /// The statistics now, without the time at which they are written.
    var current: ProcessStatistics {
        let used = leases.used
        return statistics(used, layers.layers(of: used, in: tiers.all))
    }

    private func statistics(
        _ used: Set<LeaseDirectory.Use>, _ layers: [LeaseDirectory.Use: [String: ResidentLayers]]
    ) -> ProcessStatistics {
        var statistics = ProcessStatistics(ProcessIdentity.current, startedAt: startedAt)
        let all = tiers.all.map(\.statistics).sorted { $0.tier.name < $1.tier.name }
        statistics.tiers = all.map(\.tier)
        statistics.fetches = fetches.all
        statistics.holds = used.map { use in
            var leased: [String: Int] = [:]
            for tier in all { leased[tier.tier.name] = tier.leased[use.model] }
            return ProcessStatistics.Hold(
                revision: RevisionName.text(use.model, version: nil, digest: use.digest), model: use.model,
                digest: use.digest, leased: leased, layers: layers[use])
        }.sorted { $0.revision < $1.revision }
        statistics.limitLayers()
        statistics.activity = activity.totals
        return statistics
    }

    /// Emits what has changed as events of swift-metrics. `write` does so, too.
    func emit() { emitter.emit(statistics(leases.used, [:])) }

    /// Writes the statistics if they have changed, or were removed.
    func write() {
        var statistics = current
        emitter.emit(statistics)
        let isNew = written.withLock { written in
            defer { written = statistics }
            return written != statistics
        }
        guard isNew || !leases.hasStatistics else { return }
        statistics.updatedAt = StoreClock.now
        do {
            try leases.write(statistics)
        } catch {
            // Such as a full disk. The next second is another attempt.
            written.withLock { $0 = nil }
        }
    }
}
