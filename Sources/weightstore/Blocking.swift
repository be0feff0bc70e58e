import Dispatch
import Synchronization

/// The way from commands, which block, into what is asynchronous.
enum Blocking {
    /// Blocks this thread, which is none of the cooperative pool's, until the work is done.
    static func wait(_ work: @escaping @Sendable () async throws -> Void) throws {
        let done = DispatchSemaphore(value: 0)
        let result = Mutex<Result<Void, any Error>>(.success(()))
        let begin: @Sendable () async -> Void = {
            let ended: Result<Void, any Error>
            do {
                ended = .success(try await work())
            } catch {
                ended = .failure(error)
            }
            result.withLock { $0 = ended }
            done.signal()
        }
        Task { await begin() }
        done.wait()
        try result.withLock { $0 }.get()
    }
}
