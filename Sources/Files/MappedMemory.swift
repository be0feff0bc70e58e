import CLinux
import Glibc
import Synchronization

/// The result of the reads of `touch`, which the compiler would leave out without one.
private enum Touched {
    static let sum = Atomic<UInt8>(0)
}

/// Memory that a file is mapped into.
package protocol MappedMemory: AnyObject, Sendable {
    /// The address of the first byte; 0 for no bytes.
    var address: UInt { get }
    /// The number of bytes.
    var count: Int { get }
    /// The path of the file.
    var path: String { get }
    /// The position of the first byte in the file.
    var fileOffset: Int { get }
    /// Whether the bytes are a copy, which needs no reading.
    var isCopy: Bool { get }
}

extension MappedMemory {
    /// Reads pages into memory and maps them, so that later accesses do not fault.
    ///
    /// The corresponding C function is `madvise` with `MADV_POPULATE_READ` (Linux 5.14). An unreadable page throws
    /// here; accessing it would raise SIGBUS. A page of a private mapping stays shared until it is written.
    ///
    /// - Parameter range: the bytes; their pages are populated whole.
    package func populate(_ range: Range<Int>) throws(FileError) {
        if isCopy || range.isEmpty { return }
        let pages = pages(of: range)
        do throws(FileError) {
            try retrying("madvise(MADV_POPULATE_READ)", path) {
                madvise(pages.baseAddress, pages.count, clinux_MADV_POPULATE_READ)
            }
        } catch {
            // The kernel's errors for a page that cannot be read.
            guard case .system(let operation, _, let code) = error, [EFAULT, EHWPOISON].contains(code) else {
                throw error
            }
            throw .system(operation: operation, path: path, code: EIO)
        }
    }

    /// Reads a byte of each page that was populated.
    ///
    /// In a virtual machine, the host may back memory only when a processor accesses it: the write of a disk is no such
    /// access. So the first reader of a page that was just read may wait for the host.
    package func touch(_ range: Range<Int>) {
        guard !isCopy, !range.isEmpty, let bytes = UnsafePointer<UInt8>(bitPattern: address) else { return }
        var sum: UInt8 = 0
        var offset = range.lowerBound
        while offset < range.upperBound {
            sum &+= bytes[offset]
            offset += FileMapping.pageBytes
        }
        Touched.sum.store(sum, ordering: .relaxed)
    }

    /// Requests huge pages: where the file system supports them, the kernel reads the file 2 MiB at a time into pages
    /// of that size. Elsewhere the advice has no effect. `ReadingWay` says when they are faster.
    ///
    /// The corresponding C function is `madvise` with `MADV_HUGEPAGE`.
    ///
    /// - Parameter range: the bytes; nil means all.
    package func preferHugePages(_ range: Range<Int>? = nil) {
        let range = range ?? 0..<count
        if isCopy || range.isEmpty { return }
        let pages = pages(of: range)
        madvise(pages.baseAddress, pages.count, clinux_MADV_HUGEPAGE)
    }

    /// The number of bytes that are in the page cache now; reads none.
    ///
    /// The corresponding C function is `mincore`. For a user who does not own the file, the kernel reports all of them.
    ///
    /// - Parameter range: the bytes; nil means all.
    package func cachedBytes(_ range: Range<Int>? = nil) throws(FileError) -> Int {
        let range = range ?? 0..<count
        if isCopy || range.isEmpty { return range.count }
        return try min(cachedPages(range).lazy.filter { $0 }.count * FileMapping.pageBytes, range.count)
    }

    /// Whether all pages of a range are in the page cache now; as ``cachedBytes(_:)``.
    package func isCached(_ range: Range<Int>) throws(FileError) -> Bool {
        isCopy || range.isEmpty ? true : try cachedPages(range).allSatisfy { $0 }
    }

    /// For each page of a range that is not empty, whether it is in the page cache.
    private func cachedPages(_ range: Range<Int>) throws(FileError) -> some Collection<Bool> {
        let page = FileMapping.pageBytes
        let pages = pages(of: range)
        var states = [UInt8](repeating: 0, count: (pages.count + page - 1) / page)
        let result = states.withUnsafeMutableBufferPointer {
            mincore(pages.baseAddress, pages.count, $0.baseAddress!)
        }
        guard result == 0 else { throw .system(operation: "mincore", path: path, code: errno) }
        return states.lazy.map { $0 & 1 == 1 }
    }

    /// The bytes from the beginning of the page of the first byte in a range: the kernel accepts no other addresses.
    private func pages(of range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        let start = address + UInt(range.lowerBound)
        let lead = start % UInt(FileMapping.pageBytes)
        return UnsafeMutableRawBufferPointer(
            start: UnsafeMutableRawPointer(bitPattern: start - lead), count: Int(lead) + range.count)
    }
}
