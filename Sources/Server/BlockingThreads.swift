import DeviceMemory

/// Threads for what blocks: the catalog, and the disk. Neither the event loops nor Swift's cooperative pool may wait.
final class BlockingThreads: Sendable {
    private let threads: WorkerThreads

    /// - Parameter count: more than there are cores, as they wait most of the time.
    init(count: Int) throws(DeviceError) { threads = try WorkerThreads(count: count) }

    /// Runs `body` on one of the threads, unless the task is cancelled already.
    func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try Task.checkCancellation()
        return try await withCheckedThrowingContinuation { continuation in
            threads.submit { continuation.resume(with: Swift.Result(catching: body)) }
        }
    }
}
