import Files

extension PrivateMapping {
    /// A range of a blob, in memory that can be written; the blob never changes.
    ///
    /// - Parameter bytes: the size of the blob.
    /// - Throws: as `FileDescriptor.blob(_:digest:bytes:)`.
    package convenience init(path: String, digest: ContentDigest, bytes: Int, range: Range<Int>) throws {
        precondition(0 <= range.lowerBound && range.upperBound <= bytes, "\(range): must lie in \(bytes) bytes")
        let file = try FileDescriptor.blob(path, digest: digest, bytes: bytes)
        do {
            try self.init(file, from: range.lowerBound, bytes: range.count)
        } catch {
            throw StorageError.unreadable(error, path, digest, bytes: bytes)
        }
    }
}
