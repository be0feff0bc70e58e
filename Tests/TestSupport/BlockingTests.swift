import Support
import Testing

/// Tests that may block their thread: they wait for programs, servers and disks.
///
/// The cooperative pool has one thread per core. Two tests that wait there stop every task of the process, servers of
/// other tests included. So such tests run on threads of their own; `Task {}` of theirs stays on the pool.
package struct BlockingTests: SuiteTrait, TestTrait, TestScoping {
    package let isRecursive = true

    package func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(BlockingExecutor.shared) { try await function() }
    }
}

extension Trait where Self == BlockingTests {
    /// The suite's tests may block their thread.
    package static var blocking: Self { Self() }
}

/// Runs tasks on threads that may block.
private final class BlockingExecutor: TaskExecutor {
    // Without threads no test can run.
    static let shared = try! BlockingExecutor()

    private let threads: WorkerThreads

    /// As many tests at once as a machine of two cores runs without one of them waiting for long.
    private init() throws { threads = try WorkerThreads(count: 8) }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedTaskExecutor()
        threads.submit { job.runSynchronously(on: executor) }
    }
}
