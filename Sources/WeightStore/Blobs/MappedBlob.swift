import Glibc

/// A blob, mapped read-only: as long as the value lives the bytes stay readable, even if the blob is removed.
public final class MappedBlob: Sendable {
    // Immutable memory: a blob never changes, and the mapping goes only with the last reference.
    nonisolated(unsafe) private let base: UnsafeRawPointer?
    /// Bytes.
    public let count: Int
    public let digest: Digest

    /// - Throws: as `FileDescriptor.blob(_:digest:bytes:)`.
    init(path: String, digest: Digest, bytes: Int) throws(StoreError) {
        let file = try FileDescriptor.blob(path, digest: digest, bytes: bytes)
        self.digest = digest
        count = bytes
        guard bytes > 0 else {
            base = nil
            return
        }
        let address = mmap(nil, bytes, PROT_READ, MAP_SHARED, file.raw, 0)
        guard let address, address != MAP_FAILED else { throw .system(operation: "mmap", path: path, code: errno) }
        base = UnsafeRawPointer(address)
    }

    /// No bytes: what a tensor of zero bytes has.
    static let empty = MappedBlob()

    private init() {
        base = nil
        count = 0
        digest = Digest(of: UnsafeRawBufferPointer(start: nil, count: 0))
    }

    deinit {
        if let base { munmap(UnsafeMutableRawPointer(mutating: base), count) }
    }

    public func withUnsafeBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }
}

/// Part of a mapped blob.
public struct MappedBytes: Sendable {
    public let blob: MappedBlob
    /// Where in the blob.
    public let range: Range<Int>

    public var count: Int { range.count }

    public func withUnsafeBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try blob.withUnsafeBytes { bytes throws(Failure) in try body(UnsafeRawBufferPointer(rebasing: bytes[range])) }
    }
}
