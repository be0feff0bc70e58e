import Crypto
import Glibc

/// A shard's bytes on their way from an origin to a staged file, hashed as they come.
final class FetchedShard {
    let staged: StagedFile
    private let bytes: Int
    private var hasher = SHA256()
    /// Bytes from the beginning on that were hashed; runs that come out of order are hashed in the end, from the file.
    private var hashed = 0
    private var isInOrder = true

    init(_ staged: StagedFile, bytes: Int) throws {
        self.staged = staged
        self.bytes = bytes
        try staged.reserve(bytes)
    }

    func take(_ offset: Int, _ run: UnsafeRawBufferPointer) throws(StoreError) {
        guard offset >= 0, offset + run.count <= bytes else {
            throw .invalid(
                what: "part of the shard", value: "\(offset)..<\(offset + run.count)", reason: "it has \(bytes) bytes")
        }
        try staged.write(run, at: offset)
        isInOrder = isInOrder && offset >= hashed
        guard isInOrder else { return }
        hashZeros(offset - hashed)
        hasher.update(bufferPointer: run)
        hashed = offset + run.count
    }

    /// Makes the bytes durable.
    ///
    /// - Returns: their digest.
    func finish() throws(StoreError) -> Digest {
        let digest = isInOrder ? wholeDigest() : try digestOfFile()
        try staged.finish()
        return digest
    }

    private func wholeDigest() -> Digest {
        hashZeros(bytes - hashed)
        return Digest(hasher.finalize())
    }

    private func hashZeros(_ count: Int) {
        var rest = count
        let zeros = [UInt8](repeating: 0, count: min(count, 64 << 10))
        while rest > 0 {
            hasher.update(data: zeros.prefix(rest))
            rest -= min(zeros.count, rest)
        }
    }

    private func digestOfFile() throws(StoreError) -> Digest {
        let blob = try MappedBlob(path: staged.path, digest: Digest(of: UnsafeRawBufferPointer(start: nil, count: 0)), bytes: bytes)
        return blob.withUnsafeBytes { Digest(of: $0) }
    }
}
