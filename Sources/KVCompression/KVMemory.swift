import Glibc

/// Bytes on the heap, freed with their last user: the one place where this module allocates what it returns.
///
/// Written by one method before anybody else sees it, and never again; so it may be shared between threads.
final class KVMemory: @unchecked Sendable {
    let start: UnsafeMutableRawPointer
    let count: Int
    private let capacity: Int

    /// Where a view of nothing points.
    static var nothing: UnsafeRawPointer { UnsafeRawPointer(bitPattern: 64)! }

    /// Vectors load aligned; large results are aligned to, and asked for in, huge pages: filling fresh memory costs
    /// more in page faults of 4 KiB than in moving bytes.
    init(count: Int) {
        self.count = count
        if let spare = SpareMemory.take(count) {
            (start, capacity) = (spare.start, spare.count)
            return
        }
        let large = count >= SpareMemory.least
        capacity = large ? (count + SpareMemory.page - 1) & ~(SpareMemory.page - 1) : max(count, 64)
        var pointer: UnsafeMutableRawPointer?
        let code = posix_memalign(&pointer, large ? SpareMemory.page : 64, capacity)
        guard code == 0, let pointer else { fatalError("out of memory: \(count) bytes") }
        if large { _ = madvise(pointer, capacity, MADV_HUGEPAGE) }  // Advice only: without, merely slower.
        start = pointer
    }

    deinit {
        let bytes = UnsafeMutableRawBufferPointer(start: start, count: capacity)
        if capacity < SpareMemory.least || !SpareMemory.keep(bytes) { free(start) }
    }

    func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { extendLifetime(self) }
        return try body(UnsafeRawBufferPointer(start: start, count: count))
    }
}
