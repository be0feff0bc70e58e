import CLinux
import Glibc

extension MappedBlob {
    /// Brings pages into memory and into the page table, so that no later touch of them faults.
    ///
    /// The corresponding C function is `madvise` with `MADV_POPULATE_READ` (Linux 5.14). A page that can't be read is an
    /// error here, where a touch would be a SIGBUS.
    ///
    /// - Parameter range: begins at a page.
    func populate(_ range: Range<Int>, path: String) throws(StoreError) {
        try advise(range, clinux_MADV_POPULATE_READ, "madvise(MADV_POPULATE_READ)", path)
    }

    /// Keeps the pages in memory until they are unmapped. The corresponding C function is `mlock`.
    func lock(path: String) throws(StoreError) {
        guard count > 0 else { return }
        let result = withUnsafeBytes { mlock($0.baseAddress!, $0.count) }
        guard result == 0 else {
            if errno == ENOMEM || errno == EPERM {
                throw .lockedMemoryLimit(path: path, bytes: count)
            }
            throw .system(operation: "mlock", path: path, code: errno)
        }
    }

    private func advise(_ range: Range<Int>, _ advice: Int32, _ name: String, _ path: String) throws(StoreError) {
        try withUnsafeBytes { bytes throws(StoreError) in
            let start = UnsafeMutableRawPointer(mutating: bytes.baseAddress! + range.lowerBound)
            try retrying(name, path) { madvise(start, range.count, advice) }
        }
    }
}
