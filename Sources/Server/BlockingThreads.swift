import NIOPosix

/// Threads for what blocks: the catalog, and the disk. Neither the event loops nor Swift's cooperative pool may wait.
final class BlockingThreads: Sendable {
    private let pool: NIOThreadPool

    /// - Parameter count: more than there are cores, as they wait most of the time.
    init(count: Int) {
        pool = NIOThreadPool(numberOfThreads: count)
        pool.start()
    }

    deinit {
        // The threads end when they have done what was submitted; a failure to stop concerns no caller any more.
        pool.shutdownGracefully { _ in }
    }

    /// Runs `body` on one of the threads, unless the task is cancelled already.
    func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try Task.checkCancellation()
        return try await pool.runIfActive { try body() }
    }
}
