import Glibc

/// A file, mapped writable: pages are the page cache's, shared with every other mapping, until they are written, and
/// then this mapping's own. The file never changes.
///
/// For engines that can't mark an array read-only, such as PyTorch.
package final class PrivateMapping: Sendable {
    /// Of the first byte; 0 for a file of zero bytes.
    package let address: UInt
    private let count: Int

    /// Maps the first `bytes` bytes. The corresponding C function is `mmap`, with `MAP_PRIVATE`.
    package init(_ file: borrowing FileDescriptor, bytes: Int) throws(FileError) {
        count = bytes
        guard bytes > 0 else {
            address = 0
            return
        }
        let mapped = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.raw, 0)
        guard let mapped, mapped != MAP_FAILED else { throw .system(operation: "mmap", path: file.path, code: errno) }
        address = UInt(bitPattern: mapped)
    }

    deinit {
        if count > 0 { munmap(UnsafeMutableRawPointer(bitPattern: address), count) }
    }
}
