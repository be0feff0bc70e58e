import Files
import Glibc
import Storage
import Support
import Synchronization

/// Shards in RAM: blobs are mapped and populated, so that no reader stalls on a page fault.
///
/// The pages belong to the page cache: all processes that map a blob share one copy. Several threads populate a mapping
/// in pieces, with `MADV_POPULATE_READ` on huge pages. An unreadable page is reported as an error; accessing it would
/// raise SIGBUS.
package struct RAMMedium: TierMedium {
    /// The size of a piece: large enough that the cost of system calls is negligible, small enough that one large shard
    /// occupies all threads.
    static let pieceBytes = 4 << 20

    package let threads: WorkerThreads
    /// Whether to lock the pages, too.
    package let locksPages: Bool

    package func reserve(bytes: Int) -> Reservation { .pages }

    package func load(
        _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
    ) {
        threads.submit { [self] in
            do {
                let blob = try MappedBlob(
                    path: path, digest: shard.digest, bytes: shard.shardBytes, range: shard.range)
                blob.mapping.preferHugePages()
                populate(blob, work) { error in
                    completion(
                        Result {
                            if let error { throw error }
                            if locksPages { try blob.mapping.lock() }
                            return .mapped(blob)
                        })
                }
            } catch {
                completion(.failure(error))
            }
        }
    }

    private func populate(_ blob: MappedBlob, _ work: Work, then done: @escaping @Sendable ((any Error)?) -> Void) {
        let pieces = (blob.count + Self.pieceBytes - 1) / Self.pieceBytes
        guard pieces > 0 else { return done(nil) }
        let failure = FirstFailure()
        let left = Shared(Atomic<Int>(pieces))
        for piece in 0..<pieces {
            let range = piece * Self.pieceBytes..<min((piece + 1) * Self.pieceBytes, blob.count)
            let populate: @Sendable () -> Void = {
                do {
                    try work.check()
                    if failure.first == nil { try blob.populate(range) }
                } catch {
                    failure.record(error)
                }
                if left.value.subtract(1, ordering: .acquiringAndReleasing).newValue == 0 { done(failure.first) }
            }
            // The last piece runs here, so that a shard of one piece passes through the queue only once.
            if piece == pieces - 1 { populate() } else { threads.submit(populate) }
        }
    }
}
