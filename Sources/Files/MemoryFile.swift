import CLinux
import Glibc

/// Bytes in memory that can be read and mapped by a path, as a file's can. Other processes cannot open the path.
///
/// The corresponding C function is `memfd_create`. Mappings keep the bytes when the value is destroyed.
package final class MemoryFile: Sendable {
    private let file: FileDescriptor
    /// The number of bytes.
    package let count: Int

    /// Its path in this process.
    package var path: String { "/proc/self/fd/\(file.raw)" }

    /// Creates a file of zero bytes, which use memory when they are written.
    package init(bytes: Int) throws(FileError) {
        file = try FileDescriptor.inMemory()
        try file.truncate(to: bytes)
        count = bytes
    }

    /// Writes bytes at an offset, in bytes.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        try file.write(bytes, at: offset)
    }

    /// Maps all bytes.
    package func mapped() throws(FileError) -> FileMapping { try FileMapping(file, bytes: count) }
}
