import Files

extension FileDescriptor {
    /// Opens a blob for reading.
    ///
    /// - Throws: ``StorageError/missing(path:digest:)`` without a file, ``StorageError/damaged(path:digest:expected:found:)``
    ///   if it has another size than the catalog says: mapped, a shorter file would be a SIGBUS later.
    package static func blob(_ path: String, digest: ContentDigest, bytes: Int) throws -> FileDescriptor {
        guard let file = try openIfThere(path) else { throw StorageError.missing(path: path, digest: digest) }
        let found = try file.status().bytes
        guard found == bytes else {
            throw StorageError.damaged(path: path, digest: digest, expected: "\(bytes) bytes", found: "\(found) bytes")
        }
        return file
    }
}
