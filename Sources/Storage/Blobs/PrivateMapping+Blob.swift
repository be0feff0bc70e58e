import Files

extension PrivateMapping {
    /// Maps a blob copy-on-write; the blob never changes.
    ///
    /// - Throws: as `FileDescriptor.blob(_:digest:bytes:)`.
    package convenience init(path: String, digest: ContentDigest, bytes: Int) throws {
        try self.init(try FileDescriptor.blob(path, digest: digest, bytes: bytes), bytes: bytes)
    }
}
