import Glibc

/// A file, mapped read-only. The bytes stay readable as long as the value exists, even if the file is removed.
package final class FileMapping: MappedMemory {
    static let pageBytes = sysconf(Int32(_SC_PAGESIZE))

    // Safe to share: the mapped bytes never change, and the mapping exists until the last reference is dropped.
    nonisolated(unsafe) private let base: UnsafeRawPointer?
    /// The mapped bytes before `base`: a mapping begins at a page.
    private let lead: Int
    /// The number of bytes mapped.
    package let count: Int
    package let path: String
    package let fileOffset: Int
    /// Whether the bytes are a copy, which takes no mapping.
    package let isCopy: Bool

    package var address: UInt { UInt(bitPattern: base) }

    /// Maps `bytes` bytes, or copies them if mappings are scarce (`MappingBudget`). The corresponding C function is
    /// `mmap`.
    ///
    /// - Parameter offset: the position of the first byte in the file.
    /// - Throws: ``FileError/mappingLimit(path:limit:)`` if the kernel allows no more mappings.
    package init(_ file: borrowing FileDescriptor, from offset: Int = 0, bytes: Int) throws(FileError) {
        count = bytes
        path = file.path
        fileOffset = offset
        guard bytes > 0 else {
            base = nil
            lead = 0
            isCopy = true
            return
        }
        isCopy = MappingBudget.reserveOrCopy(bytes)
        if isCopy {
            lead = 0
            base = UnsafeRawPointer(try MappingBudget.copy(file, from: offset, bytes: bytes))
            return
        }
        lead = offset % FileMapping.pageBytes
        let address = mmap(nil, lead + bytes, PROT_READ, MAP_SHARED, file.raw, offset - lead)
        guard let address, address != MAP_FAILED else {
            let code = errno
            MappingBudget.release()
            if code == ENOMEM { throw .mappingLimit(path: path, limit: MappingBudget.limit) }
            throw .system(operation: "mmap", path: path, code: code)
        }
        base = UnsafeRawPointer(address) + lead
    }

    /// A mapping of zero bytes.
    package static let empty = FileMapping()

    private init() {
        base = nil
        lead = 0
        count = 0
        path = ""
        fileOffset = 0
        isCopy = true
    }

    deinit {
        guard let base else { return }
        MappingBudget.unmap(UnsafeMutableRawPointer(mutating: base - lead), lead + count)
        if !isCopy { MappingBudget.release() }
    }

    /// Calls `body` with the mapped bytes, which are valid only during the call.
    package func withUnsafeBytes<Result, Failure>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(UnsafeRawBufferPointer(start: base, count: count))
    }
}
