import Dispatch
import Glibc
import Synchronization

/// The memory of an import: a fixed number of aligned buffers, independent of the model's size.
///
/// A buffer returns to the pool when its last reference is dropped. A reader waits while all buffers are in use, so
/// it cannot outrun the disk.
package final class BufferPool: Sendable {
    /// The size of each buffer, in bytes.
    package static let bufferBytes = 4 << 20

    private let available: DispatchSemaphore
    private let idle = Mutex<[Memory]>([])

    private struct Memory: @unchecked Sendable {
        // Sendable because the pool hands it to one `Buffer` at a time.
        let base: UnsafeMutableRawPointer
    }

    package init(count: Int) {
        available = DispatchSemaphore(value: count)
    }

    deinit {
        idle.withLock { for memory in $0 { free(memory.base) } }
    }

    /// Returns a free buffer; blocks until there is one.
    package func acquire() -> Buffer {
        available.wait()
        let memory =
            idle.withLock { $0.popLast() }
            ?? Memory(base: Buffer.allocate(Self.bufferBytes))
        return Buffer(base: memory.base, capacity: Self.bufferBytes) { [self] in
            idle.withLock { $0.append(memory) }
            available.signal()
        }
    }
}
