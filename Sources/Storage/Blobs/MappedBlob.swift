import Files

/// A blob or a range of it, mapped read-only. The bytes stay readable as long as the value exists, even if the blob is
/// removed.
public struct MappedBlob: Sendable {
    package let mapping: FileMapping
    /// The SHA-256 of the blob.
    public let digest: ContentDigest

    /// The size of the blob, in bytes.
    package let blobBytes: Int

    /// The number of mapped bytes.
    public var count: Int { mapping.count }

    /// Maps a blob.
    ///
    /// - Parameters:
    ///   - bytes: the size of the blob.
    ///   - range: maps only these bytes of it.
    /// - Throws: as `FileDescriptor.blob(_:digest:bytes:)`.
    package init(path: String, digest: ContentDigest, bytes: Int, range: Range<Int>? = nil) throws {
        let range = range ?? 0..<bytes
        precondition(0 <= range.lowerBound && range.upperBound <= bytes, "\(range): must lie in \(bytes) bytes")
        mapping = try FileMapping(
            try FileDescriptor.blob(path, digest: digest, bytes: bytes), from: range.lowerBound, bytes: range.count)
        self.digest = digest
        blobBytes = bytes
    }

    /// A blob of zero bytes, for tensors without bytes.
    package static let empty = MappedBlob()

    private init() {
        mapping = .empty
        blobBytes = 0
        digest = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
    }

    /// Calls `body` with the mapped bytes, which are valid only during the call.
    public func withUnsafeBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try mapping.withUnsafeBytes(body)
    }
}

/// A range of a mapped blob.
public struct MappedBytes: Sendable {
    /// The blob.
    public let blob: MappedBlob
    /// The range in the blob, in bytes.
    public let range: Range<Int>

    package init(blob: MappedBlob, range: Range<Int>) {
        self.blob = blob
        self.range = range
    }

    /// The number of bytes.
    public var count: Int { range.count }

    /// Calls `body` with the bytes of the range, which are valid only during the call.
    public func withUnsafeBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try blob.withUnsafeBytes { bytes throws(Failure) in try body(UnsafeRawBufferPointer(rebasing: bytes[range])) }
    }
}
