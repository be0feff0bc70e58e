import Dispatch
import Synchronization

/// Asynchronous work of a command, whose thread is none of the cooperative pool's.
enum Waiting {
    /// Blocks until the work is done.
    ///
    /// - Parameter isInterruptible: Ctrl-C and SIGTERM cancel the work.
    static func forWork<Value: Sendable>(
        isInterruptible: Bool = false, _ work: @escaping @Sendable () async throws -> Value
    ) throws -> Value {
        let done = DispatchSemaphore(value: 0)
        let outcome = Mutex<Result<Value, any Error>?>(nil)
        let begin: @Sendable () async -> Void = {
            let ended: Result<Value, any Error>
            do {
                ended = .success(try await work())
            } catch {
                ended = .failure(error)
            }
            outcome.withLock { $0 = ended }
            done.signal()
        }
        let task = Task { await begin() }
        let interrupt = isInterruptible ? Interrupt { task.cancel() } : nil
        done.wait()
        withExtendedLifetime(interrupt) {}
        return try outcome.withLock { $0! }.get()
    }
}
