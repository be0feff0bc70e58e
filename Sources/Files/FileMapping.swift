import Glibc

/// A file, mapped read-only: as long as the value lives the bytes stay readable, even if the file is removed.
package final class FileMapping: Sendable {
    // Immutable memory: what is mapped never changes, and the mapping ends only with the last reference.
    nonisolated(unsafe) private let base: UnsafeRawPointer?
    /// Bytes.
    package let count: Int
    package let path: String

    /// Maps the first `bytes` bytes. The corresponding C function is `mmap`.
    package init(_ file: borrowing FileDescriptor, bytes: Int) throws(FileError) {
        count = bytes
        path = file.path
        guard bytes > 0 else {
            base = nil
            return
        }
        let address = mmap(nil, bytes, PROT_READ, MAP_SHARED, file.raw, 0)
        guard let address, address != MAP_FAILED else { throw .system(operation: "mmap", path: path, code: errno) }
        base = UnsafeRawPointer(address)
    }

    /// No bytes.
    package static let empty = FileMapping()

    private init() {
        base = nil
        count = 0
        path = ""
    }

    deinit {
        if let base { munmap(UnsafeMutableRawPointer(mutating: base), count) }
    }

    package func withUnsafeBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }
}
