import Files
import ModelFormats
import Storage
import Support
import Synchronization

/// A shard that was fetched for a reader, all of whose bytes are written and hashed, until it is stored or its fetch has
/// failed. Its bytes are in the page cache, in the file that becomes the blob.
final class ArrivedShard: Sendable {
    let digest: ContentDigest
    let bytes: HeldFile
    /// The row id of a file in which its extents are not in the catalog yet.
    let file: Int64?
    /// These extents.
    let runs: [StoredBytes.Run]

    fileprivate init(_ digest: ContentDigest, _ bytes: HeldFile, file: Int64?, places: [ShardPlan.Place]) {
        self.digest = digest
        self.bytes = bytes
        self.file = file
        runs = places.map { place in
            StoredBytes.Run(
                offset: place.offset, length: place.extent.length, blobOffset: place.extent.shardOffset,
                blobBytes: bytes.count, digest: digest, path: bytes.path)
        }
    }
}

/// The shards that readers get before they are durable: a sync and a commit may take as long as the fetch.
///
/// The catalog does not name them. If the process or the machine dies before the commit, or the commit fails, they are
/// fetched again.
final class ArrivedShards: Sendable {
    private struct Weak {
        weak var shard: ArrivedShard?
    }

    /// The most bytes of these shards: a link that is faster than the disk must not fill the memory with them. The readers of
    /// others wait until they are stored.
    private static let mostBytes = 256 << 20

    private let shards = Mutex<[Weak]>([])
    /// The number of readers that wait. Without one, no shard is added.
    private let readers = Atomic(0)
    /// The number of shards that were added, and of fetches that have ended.
    private let changes = AwaitedState(0)

    /// Adds a shard, if a reader waits.
    ///
    /// - Parameters:
    ///   - staged: the file with its bytes.
    ///   - file: the row id of the file that has it, if the catalog lacks its extents.
    ///   - places: its extents there.
    /// - Returns: the shard, which the caller holds until it is stored; nil if its readers wait until then.
    func add(
        _ staged: StagedFile, _ digest: ContentDigest, file: Int64? = nil, places: [ShardPlan.Place] = []
    ) -> ArrivedShard? {
        if readers.load(ordering: .relaxed) == 0 { return nil }
        let bytes = shards.withLock { $0.saturatingSum { $0.shard?.bytes.count ?? 0 } }
        // Without a file descriptor for it, its readers wait, too.
        guard bytes < Self.mostBytes, let held = try? HeldFile(opening: staged.path) else { return nil }
        let shard = ArrivedShard(digest, held, file: file, places: places)
        shards.withLock { shards in
            shards.removeAll { $0.shard == nil }
            shards.append(Weak(shard: shard))
        }
        noteChange()
        return shard
    }

    /// Wakes the readers that wait: a shard was added, or a fetch has ended.
    func noteChange() { changes.change { $0 += 1 } }

    /// The bytes of a shard.
    func find(_ digest: ContentDigest) -> HeldFile? {
        shards.withLock { $0.lazy.compactMap(\.shard).first { $0.digest == digest }?.bytes }
    }

    /// The shards of a file whose extents are not in the catalog.
    func all(of file: Int64) -> [ArrivedShard] {
        shards.withLock { $0.compactMap(\.shard).filter { $0.file == file } }
    }

    /// Runs `body`, which waits for shards.
    func whileWaiting<Result>(_ body: () throws -> Result) rethrows -> Result {
        readers.add(1, ordering: .relaxed)
        defer { readers.subtract(1, ordering: .relaxed) }
        return try body()
    }

    /// Waits for a change. Call it in the body of `whileWaiting`.
    ///
    /// - Parameter seen: the result of the last call; nil if there was none.
    /// - Returns: the number of changes; at once, if it is not `seen`.
    /// - Throws: `CancellationError` once the work is cancelled.
    func wait(since seen: Int?, _ work: Work) throws -> Int { try changes.wait(work) { $0 == seen ? nil : $0 } }
}
