import Dispatch
import Glibc
import Synchronization

/// The memory that bytes are read into during an import: a fixed number of aligned buffers, whatever the model's size.
///
/// A buffer returns with the last reference to it; a reader that finds none waits, and so slows to the pace
/// of the disk.
package final class BufferPool: Sendable {
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

    /// Waits for a buffer.
    package func take() -> Buffer {
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
