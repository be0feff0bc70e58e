extension FileDescriptor {
    /// Opens a blob for reading.
    ///
    /// - Throws: ``StoreError/missing(path:digest:)`` without a file, ``StoreError/damaged(path:digest:expected:found:)``
    ///   if it has another size than the catalog says: mapped, a shorter file would be a SIGBUS later.
    static func blob(_ path: String, digest: Digest, bytes: Int) throws(StoreError) -> FileDescriptor {
        guard let file = try openIfThere(path) else { throw .missing(path: path, digest: digest) }
        let found = try file.status().bytes
        guard found == bytes else {
            throw .damaged(path: path, digest: digest, expected: "\(bytes) bytes", found: "\(found) bytes")
        }
        return file
    }
}
