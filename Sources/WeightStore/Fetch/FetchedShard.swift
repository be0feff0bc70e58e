import Crypto
import Files
import Glibc
import Storage
import Support

/// A shard's bytes on their way from an origin to its partial file, hashed as they come.
///
/// They are written front to back, so that the size of the file says what is here, and the next attempt goes on behind it.
/// An origin that gives them in another order is fine, but nothing is left of it if it fails.
final class FetchedShard {
    let staged: StagedFile
    /// The bytes at the front that were here already.
    let have: Int
    private let bytes: Int
    private var hasher = SHA256()
    /// Bytes from the beginning on that were hashed; if runs come out of order, the file is hashed in the end.
    private var hashed = 0
    private var isInOrder = true

    /// The tensors of a pack begin at multiples of this.
    private static let alignment = 64
    private static let bufferBytes = 1 << 20

    /// - Parameter staged: what is there of the shard.
    init(_ staged: StagedFile, bytes: Int) throws {
        self.staged = staged
        self.bytes = bytes
        let count = try staged.count()
        have = count <= bytes ? count : 0
        if have < count { try staged.truncate(to: 0) }
        try hashFile(have)
    }

    func take(_ offset: Int, _ run: UnsafeRawBufferPointer) throws {
        guard offset >= 0, offset + run.count <= bytes else {
            throw StorageError.invalid(
                what: "part of the shard", value: "\(offset)..<\(offset + run.count)", reason: "it has \(bytes) bytes")
        }
        try staged.write(run, at: offset)
        isInOrder = isInOrder && hashed <= offset && offset < hashed + Self.alignment
        guard isInOrder else { return }
        hashZeros(offset - hashed)
        hasher.update(bufferPointer: run)
        hashed = offset + run.count
    }

    /// Makes the bytes durable.
    ///
    /// - Returns: their digest.
    func finish() throws -> ContentDigest {
        try staged.truncate(to: bytes)
        if isInOrder {
            hashZeros(bytes - hashed)
        } else {
            hasher = SHA256()
            hashed = 0
            try hashFile(bytes)
        }
        try staged.finish()
        return ContentDigest(hasher.finalize())
    }

    /// Leaves what can be gone on from.
    func abandon() throws {
        if !isInOrder { try staged.truncate(to: hashed) }
        if try staged.count() == 0 { try remove() }
    }

    func remove() throws { try FileSystem.remove(staged.path) }

    private func hashZeros(_ count: Int) {
        var rest = count
        let zeros = [UInt8](repeating: 0, count: min(count, 64 << 10))
        while rest > 0 {
            hasher.update(data: zeros.prefix(rest))
            rest -= min(zeros.count, rest)
        }
        hashed += count
    }

    /// Hashes the file's bytes up to `end`.
    private func hashFile(_ end: Int) throws {
        if end == 0 { return }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(end, Self.bufferBytes), alignment: Buffer.alignment)
        defer { buffer.deallocate() }
        while hashed < end {
            let count = try staged.read(at: hashed, into: UnsafeMutableRawBufferPointer(rebasing: buffer.prefix(end - hashed)))
            // Nobody else writes to it; a file that has become shorter shows by its digest.
            if count == 0 { return }
            hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer.prefix(count)))
            hashed += count
        }
    }
}
