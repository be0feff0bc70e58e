import Files

/// A blob, mapped read-only: as long as the value lives the bytes stay readable, even if the blob is removed.
public struct MappedBlob: Sendable {
    package let mapping: FileMapping
    public let digest: ContentDigest

    /// Bytes.
    public var count: Int { mapping.count }

    /// - Throws: as `FileDescriptor.blob(_:digest:bytes:)`.
    package init(path: String, digest: ContentDigest, bytes: Int) throws {
        mapping = try FileMapping(try FileDescriptor.blob(path, digest: digest, bytes: bytes), bytes: bytes)
        self.digest = digest
    }

    /// No bytes: the blob of a tensor of zero bytes.
    package static let empty = MappedBlob()

    private init() {
        mapping = .empty
        digest = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
    }

    public func withUnsafeBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try mapping.withUnsafeBytes(body)
    }
}

/// Part of a mapped blob.
public struct MappedBytes: Sendable {
    public let blob: MappedBlob
    /// Where in the blob.
    public let range: Range<Int>

    package init(blob: MappedBlob, range: Range<Int>) {
        self.blob = blob
        self.range = range
    }

    public var count: Int { range.count }

    public func withUnsafeBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try blob.withUnsafeBytes { bytes throws(Failure) in try body(UnsafeRawBufferPointer(rebasing: bytes[range])) }
    }
}
