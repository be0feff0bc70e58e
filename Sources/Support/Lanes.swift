import Dispatch

/// The same work for many values, a few at a time, on threads of our own.
package enum Lanes {
    /// Values that are processed at the same time.
    private static let most = 8

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
