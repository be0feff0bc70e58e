import DeviceMemory

/// Threads for what blocks: the catalog, and the disk. Neither the event loops nor Swift's cooperative pool may wait.
final class BlockingThreads: Sendable {
    /// More than there are cores, as they wait for the disk most of the time.
    static let count = 16

    private let threads: WorkerThreads

    init() throws(DeviceError) { threads = try WorkerThreads(count: Self.count) }

    /// Runs `body` on one of the threads, unless the task is cancelled already.
    func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try Task.checkCancellation()
        return try await withCheckedThrowingContinuation { continuation in
            threads.submit { continuation.resume(with: Swift.Result(catching: body)) }
        }
    }
}
