import Dispatch
import Synchronization

extension Work {
    /// Runs blocking work on a thread of its own. Cancelling the task cancels this work, which the body must check.
    package func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withTaskCancellationHandler {
            try await onThread(body)
        } onCancel: {
            cancel()
        }
    }

    /// Runs asynchronous work as a task that ends with this work, and with the task around it.
    package func runTask<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let task = Task { try await body() }
        let handler = onCancel { task.cancel() }
        defer { withExtendedLifetime(handler) {} }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            cancel()
        }
    }

    /// Runs asynchronous work as a task that ends with this work. Blocks until it is done: for threads that may wait.
    package func wait<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) throws -> Result {
        let done = DispatchSemaphore(value: 0)
        let outcome = Mutex<Swift.Result<Result, any Error>>(.failure(CancellationError()))
        let task = Task {
            let ended: Swift.Result<Result, any Error>
            do { ended = .success(try await body()) } catch { ended = .failure(error) }
            outcome.withLock { $0 = ended }
        }
        // Only when the task has ended has it released what it used: a store that is released writes what it counted.
        Task {
            await task.value
            done.signal()
        }
        let handler = onCancel { task.cancel() }
        done.wait()
        withExtendedLifetime(handler) {}
        return try outcome.withLock { $0 }.get()
    }
}
