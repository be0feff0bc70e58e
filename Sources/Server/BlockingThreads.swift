import NIOPosix

/// Threads for calls that block on the catalog or the disk. Event loops and Swift's cooperative pool must not block.
final class BlockingThreads: Sendable {
    private let pool: NIOThreadPool

    /// - Parameter count: more than the number of cores, because the threads mostly wait.
    init(count: Int) {
        pool = NIOThreadPool(numberOfThreads: count)
        pool.start()
    }

    deinit {
        // The threads end after the submitted work. A failure to stop is ignored, because no caller is left.
        pool.shutdownGracefully { _ in }
    }

    /// Runs `body` on one of the threads, unless the task is cancelled already.
    func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try Task.checkCancellation()
        return try await pool.runIfActive { try body() }
    }
}
