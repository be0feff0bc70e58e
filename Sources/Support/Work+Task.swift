import Dispatch
import Synchronization

extension Work {
    /// Runs blocking work on a new thread. Cancelling the task cancels this work, which the body must check.
    package func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withTaskCancellationHandler {
            try await onThread(body)
        } onCancel: {
            cancel()
        }
    }

    /// Runs asynchronous work as a task that is cancelled with this work or with the surrounding task.
    package func runTask<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try check()
        let task = Task { try await body() }
        let handler = onCancel { task.cancel() }
        defer { withExtendedLifetime(handler) {} }
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            cancel()
        }
    }

    /// Runs asynchronous work as a task that is cancelled with this work. Blocks until it is done: for threads that
    /// may block.
    package func wait<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) throws -> Result {
        try check()
        let done = DispatchSemaphore(value: 0)
        let outcome = Mutex<Swift.Result<Result, any Error>>(.failure(CancellationError()))
        let task = Task {
            let ended: Swift.Result<Result, any Error>
            do { ended = .success(try await body()) } catch { ended = .failure(error) }
            outcome.withLock { $0 = ended }
        }
        // Waits for the end of the task, not only of the body: by then the task has released what it used. A store
        // writes its access counts when it is released.
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
