import DeviceMemory
import Files
import Storage
import Support

/// Loads shards as another medium does, after hashing their blobs: a damaged one is an error, as a missing one is.
///
/// Hashing reads the blob into the page cache, from which the other medium loads it. Of a range, the whole blob is
/// hashed, because only that has a digest.
struct VerifyingMedium: TierMedium {
    private let medium: any TierMedium
    private let threads: WorkerThreads

    init(_ medium: any TierMedium, threads: WorkerThreads) {
        self.medium = medium
        self.threads = threads
    }

    var reader: PageReader? { medium.reader }

    func reserve(bytes: Int) throws -> Reservation { try medium.reserve(bytes: bytes) }

    func notify(afterReleases skipped: Int, _ body: @escaping @Sendable () -> Void) {
        medium.notify(afterReleases: skipped, body)
    }

    func trim() { medium.trim() }

    var available: Int? { medium.available }

    func load(
        _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
    ) { load(shard, at: path, into: reservation, work, queued: { _ in }, completion: completion) }

    func mark() throws(DeviceError) -> DeviceEvent? { try medium.mark() }

    func load(
        _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
        queued: @escaping @Sendable (Payload) -> Void,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
    ) {
        threads.submit { [self] in
            do {
                try FileDescriptor.verifyBlob(path, digest: shard.digest, bytes: shard.shardBytes, work)
            } catch {
                return completion(.failure(error))
            }
            medium.load(shard, at: path, into: reservation, work, queued: queued, completion: completion)
        }
    }
}
