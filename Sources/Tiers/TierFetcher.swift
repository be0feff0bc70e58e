import Storage
import Support
import Synchronization

/// Fetches shards that a tier does not find on disk, or finds damaged. It has its own threads, so that neither Swift's
/// cooperative threads nor the threads that populate mappings wait for an origin.
package final class TierFetcher: Sendable {
    /// The most fetches at the same time.
    private static let threads = 4

    /// Restores the blob of a shard, which could not be read because of `error`; blocks.
    package typealias Fetch = @Sendable (_ digest: ContentDigest, _ error: any Error, _ work: Work) throws -> Void

    private let fetch = Mutex<Fetch?>(nil)
    private let workers = Mutex<WorkerThreads?>(nil)

    func setFetch(_ body: @escaping Fetch) { fetch.withLock { $0 = body } }

    /// Starts a fetch. Returns at once.
    ///
    /// - Parameters:
    ///   - error: the reason why the shard could not be opened; also the result if it cannot be fetched.
    ///   - work: if it is cancelled, the result may be `CancellationError`.
    ///   - completion: called once, usually on a thread of the fetcher.
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
                            try fetch(digest, error, work)
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
