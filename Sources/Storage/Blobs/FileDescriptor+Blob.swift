import Crypto
import Files
import Support

extension FileDescriptor {
    /// Opens a blob for reading.
    ///
    /// - Throws: ``StorageError/missing(path:digest:)`` if the file does not exist,
    ///   ``StorageError/damaged(path:digest:expected:found:)`` if it cannot be read, or its size is not `bytes`: reading a
    ///   mapping beyond the end of a shorter file would raise SIGBUS.
    package static func blob(_ path: String, digest: ContentDigest, bytes: Int) throws -> FileDescriptor {
        do {
            guard let file = try openIfPresent(path) else { throw StorageError.missing(path: path, digest: digest) }
            try requireSize(bytes, try file.status(), path, digest)
            return file
        } catch let error as FileError {
            throw StorageError.unreadable(error, path, digest, bytes: bytes)
        }
    }
}

extension FileDescriptor {
    /// Requires that a blob exists in its size, without opening it. Throws as `blob(_:digest:bytes:)`.
    package static func requireBlob(_ path: String, digest: ContentDigest, bytes: Int) throws {
        do {
            guard let status = try FileSystem.status(path) else {
                throw StorageError.missing(path: path, digest: digest)
            }
            try requireSize(bytes, status, path, digest)
        } catch let error as FileError {
            throw StorageError.unreadable(error, path, digest, bytes: bytes)
        }
    }

    private static func requireSize(
        _ bytes: Int, _ status: FileStatus, _ path: String, _ digest: ContentDigest
    ) throws(StorageError) {
        if status.isFile, status.bytes == bytes { return }
        let found = status.isFile ? "\(status.bytes) bytes" : status.kind
        throw .damaged(path: path, digest: digest, expected: "\(bytes) bytes", found: found)
    }
}

extension FileDescriptor {
    /// Requires that the bytes of a blob have its digest, by the page cache. Throws as `blob(_:digest:bytes:)`, and
    /// `CancellationError`.
    package static func verifyBlob(_ path: String, digest: ContentDigest, bytes: Int, _ work: Work) throws {
        let file = try blob(path, digest: digest, bytes: bytes)
        let buffer = Buffer(bytes: min(bytes, BufferPool.bufferBytes))
        var hasher = SHA256()
        var offset = 0
        do {
            while offset < bytes {
                try work.check()
                let room = buffer.writableBytes(min(buffer.capacity, bytes - offset))
                let count = try file.read(at: offset, into: room)
                hasher.update(bufferPointer: UnsafeRawBufferPointer(rebasing: room[..<count]))
                // A file that became shorter meanwhile has another digest.
                offset += room.count
            }
        } catch let error as FileError {
            throw StorageError.unreadable(error, path, digest, bytes: bytes)
        }
        try StorageError.check(ContentDigest(hasher.finalize()), is: digest, of: path)
    }
}

extension StorageError {
    /// The error to throw after a failed read of a blob: ``damaged(path:digest:expected:found:)`` if the disk cannot
    /// read its bytes, and otherwise `error` itself.
    package static func unreadable(
        _ error: FileError, _ path: String, _ digest: ContentDigest, bytes: Int
    ) -> any Error {
        let found: String
        switch error {
        case .system(let operation, _, let code) where error.isUnreadable:
            found = "\(operation): \(FileError.text(of: code))"
        case .notRegular(_, let kind): found = kind
        default: return error
        }
        return StorageError.damaged(path: path, digest: digest, expected: "\(bytes) bytes", found: found)
    }

    /// The shard or block that a read did not find, or found damaged; nil for other errors.
    package var lostBlob: ContentDigest? {
        switch self {
        case .missing(_, let digest), .damaged(_, let digest, _, _): digest
        default: nil
        }
    }
}

extension MappedMemory {
    /// Calls `body`, which reads pages of this memory: a blob, or a range of it.
    ///
    /// - Parameter bytes: the size of the blob.
    /// - Throws: ``StorageError/damaged(path:digest:expected:found:)`` if a page cannot be read; other errors of `body`.
    package func readBlob(_ digest: ContentDigest, bytes: Int, _ body: () throws(FileError) -> Void) throws {
        do {
            try body()
        } catch {
            throw StorageError.unreadable(error, path, digest, bytes: bytes)
        }
    }
}

extension MappedBlob {
    /// As `FileMapping.populate(_:)`.
    ///
    /// - Throws: ``StorageError/damaged(path:digest:expected:found:)`` if a page cannot be read.
    package func populate(_ range: Range<Int>) throws {
        try mapping.readBlob(digest, bytes: blobBytes) { () throws(FileError) in try mapping.populate(range) }
    }
}
