import GRDB
import Storage
import Support

extension Store {
    /// The living processes that have the store open, with their statistics, sorted by process id. This one is among them,
    /// unless the store can only be read; its own statistics are of now, those of others at most a second old.
    public func liveProcesses() throws -> [ProcessStatistics] {
        let holders = try leases.holders()
        let names = try catalog.read { db in
            var names: [LeaseDirectory.Use: String] = [:]
            for use in Set(holders.flatMap(\.revisions)) {
                let version = try ModelTable.find(use.model, db).flatMap { model in
                    try RevisionTable.find(use.digest, of: model, db)?.version
                }
                names[use] = RevisionName.text(use.model, version: version, digest: use.digest)
            }
            return names
        }
        return holders.map { holder in
            var process: ProcessStatistics
            if holder.lease == leases.name {
                process = statistics.current
                process.updatedAt = StoreClock.now
            } else {
                process = leases.statistics(of: holder.lease) ?? ProcessStatistics(holder)
            }
            // The lease is always up to date.
            process.holds = holder.revisions.map { use in
                let known = process.holds.first { $0.digest == use.digest && $0.model == use.model }
                return ProcessStatistics.Hold(
                    revision: names[use] ?? use.model, model: use.model, digest: use.digest,
                    leased: known?.leased ?? [:], layers: known?.layers)
            }.sorted { $0.revision < $1.revision }
            return process
        }.sorted { $0.pid < $1.pid }
    }

    /// What all processes have counted since the catalog was made. The values never decrease, unless the catalog is rebuilt,
    /// and lack at most the last minute of each process; ``flush()`` adds that of this one.
    public func activityTotals() throws -> [ActivityValue] { try catalog.read(ActivityTable.totals) }

    /// What all processes counted per minute, the oldest first: of the last 25 hours at most, without minutes in which
    /// nothing was counted.
    ///
    /// - Parameter since: only minutes that begin at this time or later, in seconds since 1970.
    public func activity(since: Int = 0) throws -> [ActivityMinute] {
        try catalog.read { db in try ActivityTable.minutes(since: since, db) }
    }

    /// The newest events, the oldest of them first. The catalog keeps the last 10,000.
    ///
    /// - Parameters:
    ///   - after: only events with a higher number.
    ///   - since: only events at this time or later, in seconds since 1970.
    ///   - kinds: only events of these kinds; nil means all.
    ///   - subject: only events whose subject, or the model in it, matches this shell pattern; nil means all.
    ///   - limit: the most events.
    public func events(
        after: Int = 0, since: Int = 0, kinds: Set<EventKind>? = nil, subject: String? = nil, limit: Int = 1000
    ) throws -> [StoreEvent] {
        try catalog.read { db in
            try EventTable.events(
                after: after, since: since, kinds: kinds ?? Set(EventKind.allCases), subjects: subject,
                limit: max(limit, 0), db)
        }
    }

    /// Records an event that has no transaction of its own. An event that cannot be written is logged, because what it
    /// reports has happened.
    package func record(_ event: StoreEvent) {
        if access.isReadOnly { return }
        do {
            try catalog.write(durable: false, within: AccessLog.lockTimeout) { db in try EventTable.append(event, db) }
        } catch {
            logger.debug("the event \(event.kind.rawValue) of \(event.subject) was not recorded: \(error)")
        }
    }
}

extension Store {
    /// Counts the failure of a request to an origin.
    func noteFailure(_ error: any Error, of url: String) {
        guard let reason = FailureReason(error) else { return }
        catalog.activity.add(1, to: .readFailures, SourceKind(origin: url).rawValue, part: reason.rawValue)
    }

    /// Logs that an origin failed, and that another one is tried, at most once a minute; and records it.
    func report(_ error: any Error, of url: String) {
        if reportedOrigins.isDue(url) { logger.warning("\(error) Another origin is tried.") }
        recordFailure(error, of: url)
    }

    /// Records that an origin failed, at most once a minute. That it does not have the bytes is no failure.
    func recordFailure(_ error: any Error, of url: String) {
        if error is CancellationError || OriginFailure(origin: url, error: StoreError(error)).isAbsence { return }
        if failedOrigins.isDue(url) { record(StoreEvent(.originFailed, url, detail: "\(error)")) }
    }

    /// Records that the upstream of a server failed, and what is served meanwhile. The caller limits the rate.
    package func recordUpstreamFailure(_ subject: String, _ detail: String) {
        record(StoreEvent(.upstreamFailed, subject, detail: detail))
    }
}

extension ProcessStatistics {
    /// A process that has written no statistics.
    fileprivate init(_ holder: LeaseDirectory.Holder) {
        // "process 4711 (weightstore serve)"
        var words = holder.process.byteParts(" ", maxSplits: 2).dropFirst()
        let pid = words.popFirst().flatMap { Int(decimal: $0) }
        let program = words.first ?? ""
        self.init(
            pid: pid ?? 0,
            program: program.hasBytePrefix("(") ? String(program.dropFirst().dropLast()) : program,
            version: holder.program?.version ?? "", user: "", startedAt: nil)
    }
}
