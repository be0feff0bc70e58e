import CLinux
import Glibc

/// Bytes that can be read and mapped by a path as long as the value exists: in memory, or those of a file that may be
/// renamed or removed meanwhile. Other processes cannot open the path.
///
/// Mappings keep the bytes when the value is destroyed.
package final class HeldFile: Sendable {
    private let file: FileDescriptor
    /// The number of bytes.
    package let count: Int

    /// Its path in this process.
    package var path: String { "/proc/self/fd/\(file.raw)" }

    /// Creates a file of zero bytes in memory, which they use when they are written. The corresponding C function is
    /// `memfd_create`.
    package init(bytes: Int) throws(FileError) {
        file = try FileDescriptor.inMemory()
        try file.truncate(to: bytes)
        count = bytes
    }

    /// Holds the bytes of a regular file, which can be read.
    package init(opening path: String) throws(FileError) {
        file = try FileDescriptor.regular(path, O_RDONLY)
        count = try file.status().bytes
    }

    /// Writes bytes at an offset, in bytes.
    package func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(FileError) {
        try file.write(bytes, at: offset)
    }

    /// Maps all bytes.
    package func mapped() throws(FileError) -> FileMapping { try FileMapping(file, bytes: count) }
}
