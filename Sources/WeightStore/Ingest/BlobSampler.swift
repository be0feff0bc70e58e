import Crypto
import Files
import Storage
import Support
import Synchronization

/// Checks the stored blobs that an import relies on, instead of writing them again.
///
/// A machine that lost power, or a disk, may leave a blob of the right size whose bytes are zero. So each blob is sampled:
/// its first, middle and last page must not be zero, and its head must have the digest in the catalog (`shard.head`).
/// The heads are read up to a number of bytes per import, so that an import of a stored model of any size stays short.
/// A blob that does not pass is hashed. If it is damaged, it is moved to quarantine, and the import stores its bytes again.
final class BlobSampler: Sendable {
    private static let pageBytes = 4096
    /// The size of the buffer for a head: many may be read at the same time.
    private static let pieceBytes = 256 << 10

    private let blobs: BlobDirectory
    private let hashesAll: Bool
    private let isWhole: @Sendable (ShardFacts) throws -> Bool
    /// The bytes of heads that may still be read.
    private let headBytes: Atomic<Int>
    /// The blobs that have passed.
    private let intact = Mutex<Set<ContentDigest>>([])

    /// - Parameters:
    ///   - hashesAll: whether each blob is hashed, instead of a sample.
    ///   - headBytes: the most bytes of heads to read.
    ///   - isWhole: hashes a blob, and moves a damaged one to quarantine.
    init(
        _ blobs: BlobDirectory, hashesAll: Bool, headBytes: Int = 64 << 20,
        isWhole: @escaping @Sendable (ShardFacts) throws -> Bool
    ) {
        self.blobs = blobs
        self.hashesAll = hashesAll
        self.isWhole = isWhole
        self.headBytes = Atomic(headBytes)
    }

    /// Whether the blob of a shard exists in its size, and passes. Each blob is read once.
    func isIntact(_ shard: ShardFacts) throws -> Bool {
        // On an error the shard counts as absent: it is read and written again.
        guard (try? FileSystem.status(blobs.path(shard.digest)))??.bytes == shard.bytes else { return false }
        if intact.withLock({ $0.contains(shard.digest) }) { return true }
        let hasPassed = try !hashesAll && passes(shard)
        if !hasPassed {
            guard try isWhole(shard) else { return false }
        }
        _ = intact.withLock { $0.insert(shard.digest) }
        return true
    }

    /// The shards of which the blobs pass. Several blobs are read at the same time.
    func intact(_ shards: [ShardFacts]) throws -> Set<ContentDigest> {
        let unique = Dictionary(shards.map { ($0.digest, $0) }) { first, _ in first }
        let found = Shared(Mutex<Set<ContentDigest>>([]))
        // In a random order, because only some heads of a large file are compared.
        try ParallelWork.run(Array(unique.values)) { [self] shard in
            guard try isIntact(shard) else { return }
            found.value.withLock { _ = $0.insert(shard.digest) }
        }
        return found.value.withLock { $0 }
    }

    /// Whether the blobs of all of these shards pass.
    func areIntact(_ shards: [ShardFacts]) throws -> Bool {
        let intact = try intact(shards)
        return shards.allSatisfy { intact.contains($0.digest) }
    }

    private func passes(_ shard: ShardFacts) throws -> Bool {
        do {
            return try !hasZeroPage(shard) && hasHead(shard)
        } catch let error as FileError where error.isUnreadable {
            return false
        }
    }

    private func hasZeroPage(_ shard: ShardFacts) throws -> Bool {
        guard let file = try FileDescriptor.openIfPresent(blobs.path(shard.digest)) else { return true }
        let last = max(shard.bytes - Self.pageBytes, 0)
        let page = Buffer(bytes: min(Self.pageBytes, shard.bytes))
        for offset in [0, last / 2, last] where page.capacity > 0 {
            let count = try file.read(at: offset, into: page.writableBytes(page.capacity))
            if page.bytes(count).allSatisfy({ $0 == 0 }) { return true }
        }
        return false
    }

    private func hasHead(_ shard: ShardFacts) throws -> Bool {
        let count = min(shard.bytes, ShardFacts.headBytes)
        guard headBytes.subtract(count, ordering: .relaxed).newValue >= 0 else { return true }
        guard let file = try FileDescriptor.openIfPresent(blobs.path(shard.digest)) else { return false }
        let piece = Buffer(bytes: min(count, Self.pieceBytes))
        var hasher = SHA256()
        var offset = 0
        while offset < count {
            let room = piece.writableBytes(min(piece.capacity, count - offset))
            guard try file.read(at: offset, into: room) == room.count else { return false }
            hasher.update(bufferPointer: UnsafeRawBufferPointer(room))
            offset += room.count
        }
        return ContentDigest(hasher.finalize()).head == shard.head
    }
}
