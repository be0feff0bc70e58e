import WeightStore

/// A long call of a command: its progress is drawn on the terminal; SIGINT and SIGTERM cancel it.
enum LongCall {
    /// - Parameters:
    ///   - label: drawn beside the progress, unless the call reports a label of its own.
    ///   - store: cancellation also stops its fetches, and its waits for locks.
    /// - Throws: `CancellationError` after SIGINT or SIGTERM.
    static func run<Value>(
        _ label: String = "", unit: ProgressLine.Unit = .bytes, stopping store: Store? = nil,
        _ body: (Work) throws -> Value
    ) throws -> Value {
        let work = Work()
        let registration = Signals.onStop { [weak store] in
            work.cancel()
            store?.stopFetching()
        }
        let line = ProgressLine(work, label: label, unit: unit)
        defer {
            line.end()
            withExtendedLifetime(registration) {}
        }
        return try body(work)
    }
}
