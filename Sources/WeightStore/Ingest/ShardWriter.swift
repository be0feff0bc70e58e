import Crypto
import Files
import ModelFormats
import Storage
import Support

/// One shard's bytes on their way to the disk: hashed front to back, and written to a staged file that is then synced
/// and can be installed as a blob. Import, pull and refetch write shards with this.
///
/// **Resuming.** A file in `partial/` stays when it is not finished. It is written front to back, so its size says what
/// is there, and the next attempt resumes after `have` bytes, which it hashes again.
///
/// **Two ways in.** Whole buffers, in order: `hash` and `write` are steps of their own, for two threads
/// (`ShardPipeline`). Bytes as an origin gives them, on one thread: `add`, then `finishAdding`.
final class ShardWriter {
    let bytes: Int
    /// The bytes at the front that are here already.
    let have: Int
    /// Where the bytes go; nil as long as the store seems to hold them, and after the end.
    private(set) var staged: StagedFile?

    private var hasher = SHA256()
    /// Bytes from the front on that were hashed.
    private(set) var hashed = 0
    /// As the column `shard.head`; nil until the shard's beginning was hashed.
    private(set) var head: Int64?
    /// Whether all that was added followed what was there.
    private var isInOrder = true

    /// The tensors of a pack begin at multiples of this; the padding between them is zero, and does not travel.
    private static let alignment = 64

    /// A shard of which nothing is there yet, and that may not have to be written.
    init(bytes: Int) {
        self.bytes = bytes
        have = 0
    }

    /// - Parameters:
    ///   - staged: what is there of the shard.
    ///   - isWhole: whether only the whole shard is of use, not a part of it.
    init(bytes: Int, resuming staged: StagedFile, isWhole: Bool = false) throws {
        self.bytes = bytes
        self.staged = staged
        let count = try staged.count()
        let isUsable = count <= bytes && (!isWhole || count == bytes)
        if !isUsable { try staged.truncate(to: 0) }
        have = isUsable ? count : 0
    }

    /// The bytes are to be written after all.
    func stage(_ file: StagedFile) { staged = file }

    // MARK: Hashing

    /// Hashes the bytes that follow. The digest of the shard's beginning is noted on the way.
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

    /// Hashes what is there of the shard.
    func hashWhatIsThere() throws { try hashFile(to: have) }

    private func hashFile(to end: Int) throws {
        guard hashed < end, let staged else { return }
        let buffer = Buffer(bytes: min(BufferPool.bufferBytes, end))
        while hashed < end {
            let room = buffer.room(min(buffer.capacity, end - hashed))
            guard try staged.read(at: hashed, into: room) == room.count else {
                throw StorageError.invalid(
                    what: "partial file", value: staged.path,
                    reason: "it became shorter than \(end) bytes while it was read")
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

    /// What is known of the shard, once all of it was hashed.
    func facts(_ shard: ShardPlan.Shard) -> ShardFacts? {
        guard hashed == bytes, let head else { return nil }
        return ShardFacts(
            digest: ContentDigest(hasher.finalize()), bytes: bytes, kind: ShardKind(shard.kind), layer: shard.layer,
            head: head)
    }

    // MARK: Writing

    func write(_ next: UnsafeRawBufferPointer, at offset: Int) throws { try staged?.write(next, at: offset) }

    /// Makes the bytes durable, and lets go of the file: a model has more shards than a process has descriptors.
    ///
    /// - Returns: the file; nil if none was written.
    func finish() throws -> StagedFile? {
        try staged?.finish()
        defer { staged = nil }
        return staged
    }

    /// Writes and hashes bytes of the shard. An origin may give them in any order; but only what follows what was there
    /// can be resumed from.
    func add(_ run: UnsafeRawBufferPointer, at offset: Int) throws {
        guard offset >= 0, offset + run.count <= bytes else {
            throw StorageError.invalid(
                what: "part of the shard", value: "\(offset)..<\(offset + run.count)", reason: "it has \(bytes) bytes")
        }
        try write(run, at: offset)
        isInOrder = isInOrder && hashed <= offset && offset < hashed + Self.alignment
        guard isInOrder else { return }
        hashZeros(offset - hashed)
        hash(run)
    }

    /// Makes the bytes that were added durable. What was not added is zero.
    ///
    /// - Returns: their digest.
    func finishAdding() throws -> ContentDigest {
        try staged?.truncate(to: bytes)
        if isInOrder {
            hashZeros(bytes - hashed)
        } else {
            (hasher, hashed, head) = (SHA256(), 0, nil)
            try hashFile(to: bytes)
        }
        try staged?.finish()
        return ContentDigest(hasher.finalize())
    }

    // MARK: Giving up

    /// Leaves what the next attempt can resume from.
    func abandon() throws {
        defer { staged = nil }
        guard let staged, staged.stays else { return }
        if !isInOrder { try staged.truncate(to: hashed) }
        if try staged.count() == 0 { try FileSystem.remove(staged.path) }
    }

    /// Leaves nothing.
    func remove() throws {
        defer { staged = nil }
        if let staged { try FileSystem.remove(staged.path) }
    }
}
