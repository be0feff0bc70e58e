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
        let next = NextIndex(count: values.count)
        let count = min(most, values.count)
        let threads = try WorkerThreads(count: count)
        for _ in 0..<count {
            group.enter()
            threads.submit {
                defer { group.leave() }
                while failure.first == nil, let index = next.acquire() {
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

    /// The values that no thread has begun. The threads acquire them from here: to submit each one would cost more than a
    /// short system call.
    private final class NextIndex: Sendable {
        private let next = Atomic(0)
        private let count: Int

        init(count: Int) { self.count = count }

        /// - Returns: nil if all values have begun.
        func acquire() -> Int? {
            let index = next.add(1, ordering: .relaxed).oldValue
            return index < count ? index : nil
        }
    }
}
