import DeviceMemory
import Synchronization

/// Brings back shards that a tier finds missing on disk, on threads of its own, so that neither Swift's threads nor those
/// that populate mappings wait for an origin.
final class TierFetcher: Sendable {
    /// Fetches under way at once.
    private static let threads = 4

    private let fetch = Mutex<(@Sendable (Digest) throws -> Void)?>(nil)
    private let workers = Mutex<WorkerThreads?>(nil)

    func setFetch(_ body: @escaping @Sendable (Digest) throws -> Void) { fetch.withLock { $0 = body } }

    /// - Parameters:
    ///   - error: why the shard could not be opened; also the outcome if nobody can fetch it.
    ///   - completion: called once, on a thread of the fetcher's.
    func start(
        _ digest: Digest, after error: any Error, isCancelled: @escaping @Sendable () -> Bool,
        completion: @escaping @Sendable (Result<Void, any Error>) -> Void
    ) {
        guard let fetch = fetch.withLock({ $0 }) else { return completion(.failure(error)) }
        do {
            let workers = try workers.withLock { workers in
                let running = try workers ?? WorkerThreads(count: Self.threads)
                workers = running
                return running
            }
            workers.submit {
                completion(Result {
                    if isCancelled() { throw CancellationError() }
                    do {
                        try fetch(digest)
                    } catch StoreError.missing {
                        throw error
                    }
                })
            }
        } catch {
            completion(.failure(error))
        }
    }
}
