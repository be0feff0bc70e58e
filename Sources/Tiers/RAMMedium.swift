import Files
import Glibc
import Storage
import Support

/// Shards in RAM: blobs are mapped and read into memory, so that no reader waits for a disk.
///
/// The pages belong to the page cache: all processes that map a blob share one copy. Of a shard that its holders map
/// themselves (`ResidentShard.isUnmapped`), only the file is checked.
package struct RAMMedium: TierMedium {
    package let threads: WorkerThreads
    /// Whether to lock the pages, too.
    package let locksPages: Bool
    /// How pages are read.
    package let way: ReadingWay

    package init(threads: WorkerThreads, locksPages: Bool, way: ReadingWay = .ofMachine) {
        self.threads = threads
        self.locksPages = locksPages
        self.way = way
    }

    package var reader: PageReader? { PageReader(threads: threads, way: way) }

    package func reserve(bytes: Int) throws -> Reservation { .pages }

    /// No reservation fails, so the tier does not wait for a release.
    package func notify(afterReleases skipped: Int, _ body: @escaping @Sendable () -> Void) {}

    package func load(
        _ shard: ResidentShard, at path: String, into reservation: Reservation, _ work: Work,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
    ) {
        if shard.isUnmapped {
            // On this thread: a lease of a file that exists does not wait.
            completion(
                Result {
                    try FileDescriptor.requireBlob(path, digest: shard.digest, bytes: shard.shardBytes)
                    return .unmapped
                })
            return
        }
        threads.submit { [self] in
            do {
                let blob = try MappedBlob(
                    path: path, digest: shard.digest, bytes: shard.shardBytes, range: shard.range)
                let mapped = PageReader.Mapped(
                    memory: blob.mapping, digest: shard.digest, blobBytes: shard.shardBytes)
                PageReader(threads: threads, way: way).read(mapped, 0..<blob.count, work) { error in
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
}
