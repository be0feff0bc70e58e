import Files
import Glibc
import ModelFormats
import Storage

/// A file on disk as a source for the format readers.
final class FileSource: ByteSource {
    let name: String
    let count: Int
    /// The file's status when it was opened.
    let status: FileStatus
    private let file: FileDescriptor

    init(_ path: String) throws {
        file = try FileDescriptor(path, O_RDONLY | O_NONBLOCK)
        status = try file.status()
        guard status.isFile else {
            throw StorageError.invalid(what: "file to import", value: path, reason: "not a regular file")
        }
        name = path
        count = status.bytes
        posix_fadvise(file.raw, 0, 0, POSIX_FADV_SEQUENTIAL)
    }

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try check(at: offset, count: buffer.count)
        guard try file.read(at: offset, into: buffer) == buffer.count else {
            throw StoreError.sourceChanged(path: name)
        }
    }

    /// Throws if the file changed since it was opened.
    func checkUnchanged() throws {
        guard try file.status() == status else { throw StoreError.sourceChanged(path: name) }
    }

    /// The format in which the file is read.
    func format() throws -> FileFormat {
        FileFormat.detect(name: name, head: try bytes(at: 0, count: min(count, FileFormat.headBytes)))
    }
}
