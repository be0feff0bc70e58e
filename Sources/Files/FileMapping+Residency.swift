import CLinux
import Glibc

extension FileMapping {
    /// Reads pages into memory and maps them, so that later accesses do not fault.
    ///
    /// The corresponding C function is `madvise` with `MADV_POPULATE_READ` (Linux 5.14). An unreadable page throws
    /// here; accessing it would raise SIGBUS.
    ///
    /// - Parameter range: the bytes; their pages are populated whole.
    package func populate(_ range: Range<Int>) throws(FileError) {
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

    /// The bytes from the beginning of the page of the first byte in a range: the kernel accepts no other addresses.
    private func pages(of range: Range<Int>) -> UnsafeMutableRawBufferPointer {
        withUnsafeBytes { bytes -> UnsafeMutableRawBufferPointer in
            let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress! + range.lowerBound)
            let lead = Int(bitPattern: start) % Self.pageBytes
            return UnsafeMutableRawBufferPointer(start: start - lead, count: lead + range.count)
        }
    }

    /// Requests huge pages: where the file system supports them, the kernel reads the file 2 MiB at a time into pages
    /// of that size. Measured on ext4 (Linux 6.18), a cold populate is 1.5 times as fast as any other way of reading,
    /// and a warm one 10 times as fast as with small pages. Elsewhere the advice has no effect.
    ///
    /// The corresponding C function is `madvise` with `MADV_HUGEPAGE`.
    package func preferHugePages() {
        guard count > 0 else { return }
        let pages = pages(of: 0..<count)
        madvise(pages.baseAddress, pages.count, clinux_MADV_HUGEPAGE)
    }

    /// The number of bytes that are in the page cache now; reads none.
    ///
    /// The corresponding C function is `mincore`. For a user who does not own the file, the kernel reports all of them.
    package func cachedBytes() throws(FileError) -> Int {
        guard count > 0 else { return 0 }
        let page = Self.pageBytes
        let pages = pages(of: 0..<count)
        var states = [UInt8](repeating: 0, count: (pages.count + page - 1) / page)
        let result = states.withUnsafeMutableBufferPointer {
            mincore(pages.baseAddress, pages.count, $0.baseAddress!)
        }
        guard result == 0 else { throw .system(operation: "mincore", path: path, code: errno) }
        return min(states.reduce(0) { $0 + Int($1 & 1) } * page, count)
    }

    /// Keeps the pages in memory until they are unmapped. The corresponding C function is `mlock`.
    package func lock() throws(FileError) {
        guard count > 0 else { return }
        let result = withUnsafeBytes { mlock($0.baseAddress!, $0.count) }
        guard result == 0 else {
            if errno == ENOMEM || errno == EPERM {
                throw .lockedMemoryLimit(path: path, bytes: count)
            }
            throw .system(operation: "mlock", path: path, code: errno)
        }
    }

    /// Copies bytes out of the mapping.
    ///
    /// Not inlined: in release builds of Swift 6.3.1 for x86-64, a throwing function that ends in a memory copy may
    /// appear to throw (swiftlang/swift#90477).
    @inline(never)
    package func copy(from offset: Int, to buffer: UnsafeMutableRawBufferPointer) {
        withUnsafeBytes {
            buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + buffer.count]))
        }
    }
}
