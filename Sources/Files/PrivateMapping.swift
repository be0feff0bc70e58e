import Glibc

/// A file, mapped copy-on-write. A page is shared with the page cache and every other mapping until it is written; then
/// this mapping has its own copy. The file never changes.
///
/// For engines that cannot mark an array read-only, such as PyTorch.
package final class PrivateMapping: Sendable {
    /// The address of the first byte; 0 for a file of zero bytes.
    package let address: UInt
    private let count: Int
    /// Whether the bytes are a copy, which takes no mapping.
    private let isCopy: Bool

    /// Maps the first `bytes` bytes, or copies them if mappings are scarce (`MappingBudget`). The corresponding C function
    /// is `mmap`, with `MAP_PRIVATE`.
    ///
    /// - Throws: ``FileError/mappingLimit(path:limit:)`` if the kernel allows no more mappings.
    package init(_ file: borrowing FileDescriptor, bytes: Int) throws(FileError) {
        count = bytes
        guard bytes > 0 else {
            address = 0
            isCopy = true
            return
        }
        isCopy = MappingBudget.reserveOrCopy(bytes)
        if isCopy {
            address = UInt(bitPattern: try MappingBudget.copy(file, bytes: bytes))
            return
        }
        let mapped = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.raw, 0)
        guard let mapped, mapped != MAP_FAILED else {
            let code = errno
            MappingBudget.release()
            if code == ENOMEM { throw .mappingLimit(path: file.path, limit: MappingBudget.limit) }
            throw .system(operation: "mmap", path: file.path, code: code)
        }
        address = UInt(bitPattern: mapped)
    }

    deinit {
        guard let memory = UnsafeMutableRawPointer(bitPattern: address) else { return }
        MappingBudget.unmap(memory, count)
        if !isCopy { MappingBudget.release() }
    }
}
