import Storage
import Support
import Synchronization

/// Fetches shards that a tier does not find on disk, or finds damaged. It has its own threads, so that neither Swift's
/// cooperative threads nor the threads that populate mappings wait for an origin.
///
/// **Groups.** Small shards of one request that wait at the same time are fetched as a group (`ShardBatch`).
///
/// **Order.** Requests have turns, so a request for one shard does not wait until tens of thousands of another request
/// have arrived. Nor does it wait for a group: one thread fetches single shards only.
package final class TierFetcher: Sendable {
    /// The most fetches at the same time.
    private static let threads = 4

    /// A shard that could not be read.
    package struct Miss: Sendable {
        package let digest: ContentDigest
        /// The size of the whole shard.
        package let bytes: Int
        /// Why it could not be opened; also the result if it cannot be fetched.
        package let error: any Error
        /// If it is cancelled, the result may be `CancellationError`.
        let work: Work
        let completion: @Sendable (Result<Void, any Error>) -> Void
    }

    /// Restores the blobs of shards; blocks. Reports the result of each as soon as it is known; shards without a result
    /// have failed with the error that it throws.
    package typealias Fetch =
        @Sendable (
            _ misses: [Miss], _ work: Work,
            _ completed: (_ digest: ContentDigest, _ result: Result<Void, any Error>) -> Void
        ) throws -> Void

    private let fetch = Mutex<Fetch?>(nil)
    private let workers = Mutex<WorkerThreads?>(nil)
    private let queue = Mutex(MissQueue())

    func setFetch(_ body: @escaping Fetch) { fetch.withLock { $0 = body } }

    /// Starts a fetch. Returns at once.
    ///
    /// - Parameters:
    ///   - miss: its completion is called once, usually on a thread of the fetcher.
    ///   - request: identifies the request that waits for the shard.
    func start(_ miss: Miss, for request: ObjectIdentifier) {
        guard let fetch = fetch.withLock({ $0 }) else { return miss.completion(.failure(miss.error)) }
        do {
            let workers = try workers.withLock { workers in
                let running = try workers ?? WorkerThreads(count: Self.threads)
                workers = running
                return running
            }
            queue.withLock { $0.append(miss, for: request) }
            workers.submit { [self] in
                while let misses = queue.withLock({ $0.next(groups: Self.threads - 1) }) {
                    run(misses, fetch)
                    if misses.count > 1 { queue.withLock { $0.endGroup() } }
                }
            }
        } catch {
            miss.completion(.failure(error))
        }
    }

    private func run(_ misses: [Miss], _ fetch: Fetch) {
        var waiting: [ContentDigest: [Miss]] = [:]
        var wanted: [Miss] = []
        for miss in misses {
            if miss.work.isCancelled {
                miss.completion(.failure(CancellationError()))
                continue
            }
            // Ranges of one shard are misses of the same shard.
            if waiting[miss.digest] == nil { wanted.append(miss) }
            waiting[miss.digest, default: []].append(miss)
        }
        if wanted.isEmpty { return }
        let works = waiting.values.flatMap { $0.map(\.work) }
        let work = Work()
        let last = LastCall(of: works.count) { work.cancel() }
        let handlers = works.map { $0.onCancel { last.call() } }
        defer { withExtendedLifetime(handlers) {} }
        func complete(_ digest: ContentDigest, _ result: Result<Void, any Error>) {
            for miss in waiting.removeValue(forKey: digest) ?? [] {
                if case .failure(StorageError.missing) = result {
                    miss.completion(.failure(miss.error))
                } else {
                    miss.completion(result)
                }
            }
        }
        do {
            try fetch(wanted, work, complete)
            for miss in wanted { complete(miss.digest, .failure(miss.error)) }
        } catch {
            for miss in wanted { complete(miss.digest, .failure(error)) }
        }
    }
}

/// Calls a function at the last of several calls.
private final class LastCall: Sendable {
    private let left: Atomic<Int>
    private let body: @Sendable () -> Void

    init(of calls: Int, _ body: @escaping @Sendable () -> Void) {
        left = Atomic(calls)
        self.body = body
    }

    func call() {
        if left.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { body() }
    }
}
