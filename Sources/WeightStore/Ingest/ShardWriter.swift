import Crypto
import Files
import ModelFormats
import Storage
import Support

/// Writes one shard: its bytes are hashed front to back and written to a staged file, which is then synced and can be
/// installed as a blob. Import, pull and refetch use it.
///
/// **Resuming.** An unfinished file in `partial/` stays. It is written front to back, so its size is the number of
/// valid bytes, and the next attempt resumes after these `have` bytes, which it hashes again.
///
/// **Two interfaces.** For whole buffers in order, on two threads (`ShardPipeline`): `hash` and `write`. For bytes in
/// the order in which an origin returns them, on one thread: `add`, then `finishAdding`.
final class ShardWriter {
    let bytes: Int
    /// The number of bytes at the front that an earlier attempt has written.
    let have: Int
    /// The destination; nil while the store seems to hold the shard, and after the end.
    private(set) var staged: StagedFile?

    private var hasher = SHA256()
    /// The number of bytes hashed, from the front.
    private(set) var hashed = 0
    /// As the column `shard.head`; nil until the first `ShardFacts.headBytes` are hashed.
    private(set) var head: Int64?
    /// Whether the bytes are written through the page cache, because they are read next.
    private let isReadNext: Bool
    /// Whether all bytes were added in order.
    private var isInOrder = true

    /// Files below this size, in bytes, are synced by the committer, many at a time: a sync takes as long as writing them.
    private static let grouped = 4 << 20

    /// The least bytes whose pages are submitted to the disk when they are written through the page cache.
    private static let writtenAtOnce = 1 << 20

    /// Tensors of a pack begin at multiples of this; the padding between them is zero and is not transferred.
    private static let alignment = 64

    /// Begins a shard that may not have to be written.
    init(bytes: Int) {
        self.bytes = bytes
        have = 0
        isReadNext = false
    }

    /// Resumes a shard.
    ///
    /// - Parameters:
    ///   - staged: the file with the bytes of earlier attempts.
    ///   - isReadNext: whether something waits for the bytes, so that they are written through the page cache.
    init(bytes: Int, resuming staged: StagedFile, isReadNext: Bool) throws {
        self.bytes = bytes
        self.staged = staged
        self.isReadNext = isReadNext
        let count = try staged.count()
        let isUsable = count <= bytes
        if !isUsable { try staged.truncate(to: 0) }
        have = isUsable ? count : 0
    }

    /// Sets the file to write to.
    func stage(_ file: StagedFile) { staged = file }

    // MARK: Hashing

    /// Hashes the next bytes. Also records the digest of the first `ShardFacts.headBytes`.
    func hash(_ next: UnsafeRawBufferPointer) {
        var rest = next
        let limit = min(ShardFacts.headBytes, bytes)
        if head == nil, hashed + next.count >= limit {
            let beginning = UnsafeRawBufferPointer(rebasing: next[..<(limit - hashed)])
            hasher.update(bufferPointer: beginning)
            head = ContentDigest(hasher.finalize()).head
            rest = UnsafeRawBufferPointer(rebasing: next[beginning.count...])
        }
        hasher.update(bufferPointer: rest)
        hashed += next.count
    }

    /// Hashes the bytes that an earlier attempt has written.
    func hashWrittenBytes() throws { try hashFile(to: have) }

    private func hashFile(to end: Int) throws {
        guard hashed < end, let staged else { return }
        let buffer = Buffer(bytes: min(BufferPool.bufferBytes, end))
        while hashed < end {
            let room = buffer.writableBytes(min(buffer.capacity, end - hashed))
            guard try staged.read(at: hashed, into: room) == room.count else {
                throw StorageError.invalid(
                    what: "partial file", value: staged.path,
                    reason: "became shorter than \(end) bytes while it was read")
            }
            hash(UnsafeRawBufferPointer(room))
        }
    }

    private func hashZeros(_ count: Int) {
        if count == 0 { return }
        let zeros = [UInt8](repeating: 0, count: min(count, 64 << 10))
        let end = hashed + count
        while hashed < end { zeros.withUnsafeBytes { hash(UnsafeRawBufferPointer(rebasing: $0.prefix(end - hashed))) } }
    }

    /// The shard's facts; nil until all of it is hashed.
    func facts(_ shard: ShardPlan.Shard) -> ShardFacts? {
        guard hashed == bytes, let head else { return nil }
        return ShardFacts(
            digest: ContentDigest(hasher.finalize()), bytes: bytes, kind: ShardKind(shard.kind), layer: shard.layer,
            head: head)
    }

    // MARK: Writing

    func write(_ next: UnsafeRawBufferPointer, at offset: Int) throws {
        try staged?.write(next, at: offset, cached: isReadNext)
        // The sync at the end then waits for the last bytes alone.
        if isReadNext && next.count >= Self.writtenAtOnce { staged?.startWriteback() }
    }

    /// Syncs a large file, seals a small one, and drops the reference to it.
    ///
    /// - Returns: the file; nil if none was written.
    func finish() throws -> StagedFile? {
        try bytes < Self.grouped ? staged?.seal() : staged?.finish()
        defer { staged = nil }
        return staged
    }

    /// Writes and hashes bytes of the shard. They may be added in any order, but only bytes added in order can be
    /// resumed from.
    func add(_ run: UnsafeRawBufferPointer, at offset: Int) throws {
        guard offset >= 0, offset + run.count <= bytes else {
            throw StorageError.invalid(
                what: "range of a shard", value: "\(offset)..<\(offset + run.count)",
                reason: "must be within the shard's \(bytes) bytes")
        }
        try write(run, at: offset)
        isInOrder = isInOrder && hashed <= offset && offset < hashed + Self.alignment
        guard isInOrder else { return }
        hashZeros(offset - hashed)
        hash(run)
    }

    /// Syncs a large file, seals a small one, as ``finish()``. Bytes that were not added are zero.
    ///
    /// - Parameter arrived: receives the digest and the complete file, before the sync.
    /// - Returns: the digest of the shard.
    func finishAdding(
        _ arrived: (_ digest: ContentDigest, _ staged: StagedFile) -> Void = { _, _ in }
    ) throws -> ContentDigest {
        try staged?.truncate(to: bytes)
        if isInOrder {
            hashZeros(bytes - hashed)
        } else {
            (hasher, hashed, head) = (SHA256(), 0, nil)
            try hashFile(to: bytes)
        }
        let digest = ContentDigest(hasher.finalize())
        if let staged { arrived(digest, staged) }
        try bytes < Self.grouped ? staged?.seal() : staged?.finish()
        return digest
    }

    // MARK: Giving up

    /// Keeps the bytes that the next attempt can resume from.
    func abandon() throws {
        defer { staged = nil }
        guard let staged, staged.isKept else { return }
        if !isInOrder { try staged.truncate(to: hashed) }
        if try staged.count() == 0 { try FileSystem.remove(staged.path) }
    }

    /// Removes the file.
    func remove() throws {
        defer { staged = nil }
        if let staged { try FileSystem.remove(staged.path) }
    }
}
