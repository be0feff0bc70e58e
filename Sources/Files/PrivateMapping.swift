import Glibc

/// Bytes of a file in memory that can be written. The file never changes.
///
/// A mapped page is shared with the page cache and every other mapping until it is written; then this mapping has its own
/// copy. Few bytes are copied at once.
package final class PrivateMapping: MappedMemory {
    /// The size up to which bytes are copied: a mapping costs as much as the copy of some 16 pages, and the kernel limits
    /// the number of mappings.
    static let copiedBytes = 64 << 10
    /// The alignment of copies, that of PyTorch's own memory.
    private static let alignment = 64

    package let address: UInt
    package let count: Int
    package let path: String
    package let fileOffset: Int
    package let isCopy: Bool
    /// The mapped bytes before `address`: a mapping begins at a page.
    private let lead: Int
    /// The value that has the memory; nil for this one.
    private let whole: PrivateMapping?

    /// Maps bytes, or copies them if they are few or mappings are scarce (`MappingBudget`). A mapping reads nothing yet.
    /// The corresponding C function is `mmap`, with `MAP_PRIVATE`.
    ///
    /// - Parameter offset: the position of the first byte in the file.
    /// - Throws: ``FileError/mappingLimit(path:limit:)`` if the kernel allows no more mappings.
    package init(_ file: borrowing FileDescriptor, from offset: Int = 0, bytes: Int) throws(FileError) {
        count = bytes
        whole = nil
        path = file.path
        fileOffset = offset
        guard bytes > 0 else {
            address = 0
            lead = 0
            isCopy = true
            return
        }
        isCopy = bytes <= Self.copiedBytes || MappingBudget.reserveOrCopy(bytes)
        if isCopy {
            lead = 0
            address = UInt(bitPattern: try Self.copy(file, from: offset, bytes: bytes))
            return
        }
        lead = offset % FileMapping.pageBytes
        let mapped = mmap(nil, lead + bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, file.raw, offset - lead)
        guard let mapped, mapped != MAP_FAILED else {
            let code = errno
            MappingBudget.release()
            if code == ENOMEM { throw .mappingLimit(path: file.path, limit: MappingBudget.limit) }
            throw .system(operation: "mmap", path: file.path, code: code)
        }
        address = UInt(bitPattern: mapped) + UInt(lead)
    }

    /// A part of another one's memory, which stays as long as one of its parts.
    package init(_ part: Range<Int>, of whole: PrivateMapping) {
        precondition(
            0 <= part.lowerBound && part.upperBound <= whole.count, "\(part): must lie in \(whole.count) bytes")
        self.whole = whole
        count = part.count
        path = whole.path
        fileOffset = whole.fileOffset + part.lowerBound
        isCopy = whole.isCopy
        address = whole.address + UInt(part.lowerBound)
        lead = 0
    }

    /// The same for all values that share one memory.
    package var memory: ObjectIdentifier { ObjectIdentifier(whole ?? self) }

    private static func copy(
        _ file: borrowing FileDescriptor, from offset: Int, bytes: Int
    ) throws(FileError) -> UnsafeMutableRawPointer {
        var memory: UnsafeMutableRawPointer?
        let code = posix_memalign(&memory, alignment, bytes)
        guard code == 0, let memory else { throw .system(operation: "posix_memalign", path: file.path, code: code) }
        do throws(FileError) {
            let count = try file.read(at: offset, into: UnsafeMutableRawBufferPointer(start: memory, count: bytes))
            // The caller has compared the size: the file was cut meanwhile. Reading a mapping would raise SIGBUS.
            if count < bytes { throw .system(operation: "read", path: file.path, code: EIO) }
        } catch {
            free(memory)
            throw error
        }
        return memory
    }

    deinit {
        guard whole == nil, let memory = UnsafeMutableRawPointer(bitPattern: address) else { return }
        if isCopy { return free(memory) }
        MappingBudget.unmap(memory - lead, lead + count)
        MappingBudget.release()
    }
}
