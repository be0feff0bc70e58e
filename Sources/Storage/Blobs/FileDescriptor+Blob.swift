import Files

extension FileDescriptor {
    /// Opens a blob for reading.
    ///
    /// - Throws: ``StorageError/missing(path:digest:)`` if the file does not exist,
    ///   ``StorageError/damaged(path:digest:expected:found:)`` if its size is not `bytes`: reading a mapping beyond the
    ///   end of a shorter file would raise SIGBUS.
    package static func blob(_ path: String, digest: ContentDigest, bytes: Int) throws -> FileDescriptor {
        guard let file = try openIfThere(path) else { throw StorageError.missing(path: path, digest: digest) }
        let found = try file.status().bytes
        guard found == bytes else {
            throw StorageError.damaged(path: path, digest: digest, expected: "\(bytes) bytes", found: "\(found) bytes")
        }
        return file
    }
}
