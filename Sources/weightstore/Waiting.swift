import Dispatch
import Synchronization
import WeightStore

/// Asynchronous work of a command, whose thread is none of the cooperative pool's.
enum Waiting {
    /// Blocks until the work is done.
    ///
    /// - Parameter store: Ctrl-C and SIGTERM cancel the work, and what is fetched for it; nil leaves them alone.
    /// - Throws: ``StoreError/cancelled`` after one of them.
    static func forWork<Value: Sendable>(
        interrupting store: Store? = nil, _ work: @escaping @Sendable () async throws -> Value
    ) throws -> Value {
        let done = DispatchSemaphore(value: 0)
        let outcome = Mutex<Result<Value, any Error>?>(nil)
        let begin: @Sendable () async -> Void = {
            let ended: Result<Value, any Error>
            do {
                ended = .success(try await work())
            } catch is CancellationError where store != nil {
                ended = .failure(StoreError.cancelled)
            } catch {
                ended = .failure(error)
            }
            outcome.withLock { $0 = ended }
        }
        let task = Task { await begin() }
        // When it is done it has let go of what it used: a store that goes writes what it counted.
        Task {
            await task.value
            done.signal()
        }
        let interrupt = store.map { store in
            Interrupt { [weak store] in
                task.cancel()
                store?.stopFetching()
            }
        }
        done.wait()
        withExtendedLifetime(interrupt) {}
        return try outcome.withLock { $0! }.get()
    }
}
