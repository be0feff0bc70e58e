import Glibc

/// A file, mapped read-only. The bytes stay readable as long as the value exists, even if the file is removed.
package final class FileMapping: Sendable {
    // Safe to share: the mapped bytes never change, and the mapping exists until the last reference is dropped.
    nonisolated(unsafe) private let base: UnsafeRawPointer?
    /// The number of bytes mapped.
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

    /// A mapping of zero bytes.
    package static let empty = FileMapping()

    private init() {
        base = nil
        count = 0
        path = ""
    }

    deinit {
        if let base { munmap(UnsafeMutableRawPointer(mutating: base), count) }
    }

    /// Calls `body` with the mapped bytes, which are valid only during the call.
    package func withUnsafeBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }
}
