import Dispatch
import Glibc
import Synchronization

/// Aligned memory between the reader and the disk.
///
/// Sendable because its only writer fills it before passing it on; afterwards it is only read.
package final class Buffer: @unchecked Sendable {
    /// The alignment that O_DIRECT requires of memory, offset and length, in bytes.
    package static let alignment = 4096

    package let base: UnsafeMutableRawPointer
    package let capacity: Int
    private let release: @Sendable () -> Void

    package init(base: UnsafeMutableRawPointer, capacity: Int, release: @escaping @Sendable () -> Void) {
        self.base = base
        self.capacity = capacity
        self.release = release
    }

    /// Allocates zeroed memory that belongs to no pool.
    package convenience init(bytes: Int) {
        self.init(uninitialized: bytes)
        memset(base, 0, bytes)
    }

    /// Allocates memory that belongs to no pool, all bytes of which the caller writes.
    package convenience init(uninitialized bytes: Int) {
        let memory = Buffer.allocate(bytes)
        let address = UInt(bitPattern: memory)
        self.init(base: memory, capacity: bytes) { free(UnsafeMutableRawPointer(bitPattern: address)) }
    }

    deinit { release() }

    /// The first `count` bytes, for reading.
    package func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base, count: count)
    }

    /// `count` bytes from `offset`, for writing.
    package func writableBytes(at offset: Int = 0, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base + offset, count: count)
    }

    /// Allocates memory aligned to `alignment`; traps when the system has none left.
    package static func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
        var memory: UnsafeMutableRawPointer?
        let code = posix_memalign(&memory, alignment, max(bytes, 1))
        guard code == 0, let memory else { fatalError("out of memory: \(bytes) bytes") }
        return memory
    }
}
