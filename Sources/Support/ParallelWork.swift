import Dispatch
import Synchronization

/// Runs the same work on many values in parallel, on dedicated threads; a single value on the caller's thread.
///
/// The number of threads does not depend on that of the cores: the work waits for a disk or a network. Syncs at the same
/// time share a commit of the file system's journal and a flush of the disk.
package enum ParallelWork {
    /// The most values that are processed at the same time.
    private static let most = 8

    /// Runs `work` on every value; blocks until all are done.
    ///
    /// - Throws: the first error of `work`. After an error, values that have not started are skipped.
    package static func run<Value: Sendable>(_ values: [Value], _ work: @escaping @Sendable (Value) throws -> Void)
        throws
    {
        if values.count < 2 { return try values.forEach(work) }
        let failure = FirstFailure()
        let group = DispatchGroup()
        // The threads acquire the values from here: to submit each one costs more than a short system call.
        let next = Shared(Atomic(0))
        let count = min(most, values.count)
        let threads = try WorkerThreads(count: count)
        for _ in 0..<count {
            group.enter()
            threads.submit {
                defer { group.leave() }
                while failure.first == nil {
                    let index = next.value.add(1, ordering: .relaxed).oldValue
                    guard index < values.count else { return }
                    do {
                        try work(values[index])
                    } catch {
                        failure.record(error)
                    }
                }
            }
        }
        group.wait()
        if let error = failure.first { throw error }
    }
}
