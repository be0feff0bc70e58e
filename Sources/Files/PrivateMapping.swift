import Glibc

/// A file, mapped copy-on-write. A page is shared with the page cache and every other mapping until it is written; then
/// this mapping has its own copy. The file never changes.
///
/// For engines that cannot mark an array read-only, such as PyTorch.
package final class PrivateMapping: Sendable {
    /// The address of the first byte; 0 for a file of zero bytes.
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
