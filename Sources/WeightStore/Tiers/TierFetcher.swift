import DeviceMemory
import Synchronization

/// Brings back shards that a tier finds missing on disk, on threads of its own, so that neither Swift's threads nor those
/// that populate mappings wait for an origin.
final class TierFetcher: Sendable {
    /// Fetches under way at once.
    private static let threads = 4

    typealias Fetch = @Sendable (_ digest: Digest, _ isCancelled: @Sendable () -> Bool) throws -> Void

    private let fetch = Mutex<Fetch?>(nil)
    private let workers = Mutex<WorkerThreads?>(nil)

    func setFetch(_ body: @escaping Fetch) { fetch.withLock { $0 = body } }

    /// - Parameters:
    ///   - error: why the shard could not be opened; also the outcome if nobody can fetch it.
    ///   - isCancelled: is asked now and then; if true, the outcome may be `CancellationError`.
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
                        try fetch(digest, isCancelled)
                    } catch StoreError.missing {
                        throw error
                    } catch StoreError.cancelled where isCancelled() {
                        throw CancellationError()
                    }
                })
            }
        } catch {
            completion(.failure(error))
        }
    }
}
