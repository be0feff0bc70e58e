import Glibc

extension FileMapping {
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
