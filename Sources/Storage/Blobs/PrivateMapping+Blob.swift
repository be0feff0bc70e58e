import Files

extension PrivateMapping {
    /// Maps a blob writable. The blob never changes.
    ///
    /// - Throws: as `FileDescriptor.blob(_:digest:bytes:)`.
    package convenience init(path: String, digest: ContentDigest, bytes: Int) throws {
        try self.init(try FileDescriptor.blob(path, digest: digest, bytes: bytes), bytes: bytes)
    }
}
