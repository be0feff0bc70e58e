import DeviceMemory
import Glibc
import Synchronization

/// Shards in RAM: blobs mapped and populated, so that no reader stalls on a page fault.
///
/// The pages are the page cache's: all processes that map the same blob share one copy. Population is
/// `MADV_POPULATE_READ` on huge pages, in pieces, by several threads. It reports a page that can't be read as an error
/// where a touch would be a SIGBUS.
struct RAMMedium: TierMedium {
    /// Large enough that the system calls don't count, small enough that one large shard keeps all threads busy.
    static let pieceBytes = 4 << 20

    let threads: WorkerThreads
    /// Whether to lock the pages, too.
    let locksPages: Bool

    func reserve(bytes: Int) -> Room { .pages }

    func load(
        _ shard: Residency, at path: String, into room: Room, isCancelled: @escaping @Sendable () -> Bool,
        completion: @escaping @Sendable (Result<Payload, any Error>) -> Void
    ) {
        threads.submit { [self] in
            do {
                let blob = try MappedBlob(path: path, digest: shard.digest, bytes: shard.bytes)
                blob.preferHugePages()
                populate(blob, path, isCancelled) { error in
                    completion(Result {
                        if let error { throw error }
                        if locksPages { try blob.lock(path: path) }
                        return .mapped(blob)
                    })
                }
            } catch {
                completion(.failure(error))
            }
        }
    }

    private func populate(
        _ blob: MappedBlob, _ path: String, _ isCancelled: @escaping @Sendable () -> Bool,
        then done: @escaping @Sendable ((any Error)?) -> Void
    ) {
        let pieces = (blob.count + Self.pieceBytes - 1) / Self.pieceBytes
        guard pieces > 0 else { return done(nil) }
        let state = Mutex((left: pieces, error: (any Error)?.none))
        let shared = Shared(state)
        for piece in 0..<pieces {
            let range = piece * Self.pieceBytes..<min((piece + 1) * Self.pieceBytes, blob.count)
            let work: @Sendable () -> Void = {
                var failure: (any Error)?
                do {
                    if isCancelled() { throw CancellationError() }
                    if shared.value.withLock({ $0.error == nil }) { try blob.populate(range, path: path) }
                } catch {
                    failure = error
                }
                let end = shared.value.withLock { state -> (any Error)?? in
                    state.error = state.error ?? failure
                    state.left -= 1
                    return state.left == 0 ? .some(state.error) : nil
                }
                if let end { done(end) }
            }
            // The last piece here: a shard of one piece goes through the queue once.
            if piece == pieces - 1 { work() } else { threads.submit(work) }
        }
    }
}

/// A lock that several closures hold.
private final class Shared<Value: ~Copyable & Sendable>: Sendable {
    let value: Value
    init(_ value: consuming Value) { self.value = value }
}
