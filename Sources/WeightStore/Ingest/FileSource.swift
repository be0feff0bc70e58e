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

    /// Whether the first bytes are those of a GGUF file, or of a safetensors file: the length of a header and `{`.
    func beginsLikeTensors() throws -> Bool {
        guard count > Safetensors.lengthBytes else { return false }
        let bytes = try bytes(at: 0, count: Safetensors.lengthBytes + 1)
        let length = bytes.prefix(Safetensors.lengthBytes).reversed().reduce(0) { $0 << 8 | UInt64($1) }
        return bytes.starts(with: "GGUF".utf8)
            || bytes.last == UInt8(ascii: "{") && length <= UInt64(Safetensors.maximumHeaderBytes)
    }
}
