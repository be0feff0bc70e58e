import Storage
import Support
import Synchronization

/// Brings back shards that a tier finds missing on disk, on threads of its own, so that neither Swift's threads nor those
/// that populate mappings wait for an origin.
package final class TierFetcher: Sendable {
    /// Fetches under way at once.
    private static let threads = 4

    package typealias Fetch = @Sendable (_ digest: ContentDigest, _ work: Work) throws -> Void

    private let fetch = Mutex<Fetch?>(nil)
    private let workers = Mutex<WorkerThreads?>(nil)

    func setFetch(_ body: @escaping Fetch) { fetch.withLock { $0 = body } }

    /// - Parameters:
    ///   - error: why the shard could not be opened; also the outcome if nobody can fetch it.
    ///   - work: when it is cancelled, the outcome may be `CancellationError`.
    ///   - completion: called once, on a thread of the fetcher's.
    package func start(
        _ digest: ContentDigest, after error: any Error, _ work: Work,
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
                completion(
                    Result {
                        try work.check()
                        do {
                            try fetch(digest, work)
                        } catch StorageError.missing {
                            throw error
                        }
                    })
            }
        } catch {
            completion(.failure(error))
        }
    }
}
