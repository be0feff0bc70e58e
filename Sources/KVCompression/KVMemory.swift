import Glibc

/// Bytes on the heap, freed with their last user. All results of this module are allocated here.
///
/// One method writes the memory before it is shared, and it never changes afterwards; so threads may share it.
final class KVMemory: @unchecked Sendable {
    let start: UnsafeMutableRawPointer
    let count: Int
    private let capacity: Int

    /// The address of empty views.
    static var nothing: UnsafeRawPointer { UnsafeRawPointer(bitPattern: 64)! }

    /// Aligned for vector loads. Large results are aligned to, and requested in, huge pages: page faults of 4 KiB cost
    /// more than filling fresh memory.
    init(count: Int) {
        self.count = count
        if let spare = SpareMemory.reuse(count) {
            (start, capacity) = (spare.start, spare.count)
            return
        }
        let large = count >= SpareMemory.least
        capacity = large ? (count + SpareMemory.page - 1) & ~(SpareMemory.page - 1) : max(count, 64)
        var pointer: UnsafeMutableRawPointer?
        let code = posix_memalign(&pointer, large ? SpareMemory.page : 64, capacity)
        guard code == 0, let pointer else { fatalError("out of memory: \(count) bytes") }
        if large { _ = madvise(pointer, capacity, MADV_HUGEPAGE) }  // Only advice: without it, slower.
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
