import WeightStore

/// A long call of a command: its progress is reported; SIGINT and SIGTERM cancel it.
enum LongCall {
    /// - Parameters:
    ///   - label: shown beside the progress, unless the call reports a label of its own.
    ///   - isSilent: whether nothing is reported without a terminal, unless --progress says how: for commands made for
    ///     cron.
    ///   - store: cancellation also stops its fetches, and its waits for locks.
    /// - Throws: `CancellationError` after SIGINT or SIGTERM.
    static func run<Value>(
        _ label: String = "", unit: ProgressReport.Unit = .bytes, isSilent: Bool = false, stopping store: Store? = nil,
        _ body: (Work) throws -> Value
    ) throws -> Value {
        let work = Work()
        let registration = Signals.onStop { [weak store] in
            work.cancel()
            store?.stopFetching()
        }
        let report = ProgressReport(work, label: label, unit: unit, isSilent: isSilent)
        defer {
            report.end()
            withExtendedLifetime(registration) {}
        }
        return try body(work)
    }
}
