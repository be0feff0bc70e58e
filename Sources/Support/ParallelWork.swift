import Dispatch

/// Runs the same work on many values in parallel, on dedicated threads.
package enum ParallelWork {
    /// The most values that are processed at the same time.
    private static let most = 8

    /// Runs `work` on every value; blocks until all are done.
    ///
    /// - Throws: the first error of `work`. After an error, values that have not started are skipped.
    package static func run<Value: Sendable>(_ values: [Value], _ work: @escaping @Sendable (Value) throws -> Void)
        throws
    {
        if values.isEmpty { return }
        let failure = FirstFailure()
        let group = DispatchGroup()
        let threads = try WorkerThreads(count: min(most, values.count))
        for value in values {
            group.enter()
            threads.submit {
                defer { group.leave() }
                if failure.first != nil { return }
                do {
                    try work(value)
                } catch {
                    failure.record(error)
                }
            }
        }
        group.wait()
        if let error = failure.first { throw error }
    }
}
