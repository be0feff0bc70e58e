import WeightStore

/// The metrics of a store and of the processes that have it open: from the totals that the catalog keeps, and from the
/// statistics of the processes. No query reads all shards.
package enum StoreMetrics {
    /// - Parameter survey: the parts of the stored bytes, and the time of their sum, in seconds since 1970; nil leaves them
    ///   out.
    package static func write(
        _ store: Store, _ survey: (gauge: DiskGauge, time: Int)?, to text: inout Exposition
    ) throws {
        writeActivity(try store.activityTotals(), to: &text)
        writeTotals(try store.totals(), to: &text)
        if let survey { write(survey.gauge, at: survey.time, to: &text) }
        writeProcesses(try store.liveProcesses(), to: &text)
    }

    /// - Parameter build: the version and the commit of the program.
    package static func writeBuild(_ build: (version: String, commit: String), to text: inout Exposition) {
        text.add(.buildInfo, 1, build.version, build.commit)
    }

    private static func writeActivity(_ values: [ActivityValue], to text: inout Exposition) {
        for value in values {
            guard let family = MetricFamily.of(value.key.metric), family.kind == .counter else { continue }
            switch family.labels.count {
            case 0: text.add(family, value.value)
            case 1: text.add(family, value.value, value.key.place)
            default: text.add(family, value.value, value.key.place, value.key.part)
            }
        }
        for metric in ActivityMetric.allCases where metric.sum != nil {
            guard let family = MetricFamily.of(metric) else { continue }
            for place in values.places(of: metric) { text.add(family, values.histogram(metric, in: place), place) }
        }
    }

    private static func writeTotals(_ totals: StoreTotals, to text: inout Exposition) {
        for (kind, state) in totals.kinds.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            let quota = state.quota
            text.add(.quotaUsed, state.bytes, kind.rawValue)
            if let bytes = quota.bytes { text.add(.quota, bytes, kind.rawValue) }
            if let bytes = quota.highBytes { text.add(.quotaHigh, bytes, kind.rawValue) }
            if let bytes = quota.lowBytes { text.add(.quotaLow, bytes, kind.rawValue) }
            text.add(kind == .weights ? .storeBytes : .kvBytes, state.bytes)
            text.add(kind == .weights ? .storeShards : .kvBlocks, state.shards)
        }
        text.add(.models, totals.models)
        text.add(.revisions, totals.revisions)
        text.add(.available, totals.disk.available)
        text.add(.size, totals.disk.total)
        text.add(.damagedShards, totals.damaged.shards)
        text.add(.damagedBytes, totals.damaged.bytes)
        text.add(.catalogBytes, totals.catalog.bytes)
        text.add(.walBytes, totals.catalog.log)
        for name in JobRecord.names {
            text.add(.jobSuccess, totals.successes[name] ?? 0, name)
        }
        for job in totals.jobs {
            text.add(.jobRun, job.started, job.name)
            text.add(.jobStatus, job.status, job.name)
        }
    }

    private static func write(_ gauge: DiskGauge, at time: Int, to text: inout Exposition) {
        text.add(.evictable, gauge.evictable)
        text.add(.inUse, gauge.inUse)
        text.add(.pinned, gauge.pinned)
        text.add(.onlyCopy, gauge.withoutOrigin)
        text.add(.evicted, gauge.evicted)
        text.add(.surveyed, time)
    }

    private static func writeProcesses(_ processes: [ProcessStatistics], to text: inout Exposition) {
        text.add(.processes, processes.count)
        text.add(.leases, processes.saturatingSum { $0.holds.count })
        text.add(.fetchesInFlight, processes.saturatingSum { $0.fetches.count })
        let tiers = Dictionary(grouping: processes.flatMap(\.tiers), by: \.name)
        for (name, tiers) in tiers.sorted(by: { $0.key < $1.key }) {
            text.add(.tierBytes, tiers.saturatingSum(\.bytes), name)
            text.add(.tierBudget, tiers.saturatingSum(\.budget), name)
            text.add(.tierLeased, tiers.saturatingSum(\.leased), name)
            text.add(.tierShards, tiers.saturatingSum(\.shards), name)
        }
    }
}
