import Dispatch
import Glibc
import Synchronization

/// The memory that bytes are read into during an import: a fixed number of aligned buffers, whatever the model's size.
///
/// A buffer that nobody holds any more goes back by itself; a reader that finds none waits, and so slows to the pace
/// of the disk.
final class BufferPool: Sendable {
    static let bufferBytes = 4 << 20

    private let available: DispatchSemaphore
    private let idle = Mutex<[Memory]>([])

    private struct Memory: @unchecked Sendable {
        // Sendable because the pool hands it to one `Buffer` at a time.
        let base: UnsafeMutableRawPointer
    }

    init(count: Int) {
        available = DispatchSemaphore(value: count)
    }

    deinit {
        idle.withLock { for memory in $0 { free(memory.base) } }
    }

    /// Waits for a buffer.
    func take() -> Buffer {
        available.wait()
        let memory = idle.withLock { $0.popLast() }
            ?? Memory(base: Buffer.allocate(Self.bufferBytes))
        return Buffer(base: memory.base, capacity: Self.bufferBytes) { [self] in
            idle.withLock { $0.append(memory) }
            available.signal()
        }
    }
}

/// Aligned memory on its way from the reader to the disk.
///
/// Sendable because it has one writer, which fills it before it hands it on; from then on it is only read.
final class Buffer: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    let capacity: Int
    private let release: @Sendable () -> Void

    init(base: UnsafeMutableRawPointer, capacity: Int, release: @escaping @Sendable () -> Void) {
        self.base = base
        self.capacity = capacity
        self.release = release
    }

    /// Zeroed memory of its own, outside the pool.
    convenience init(bytes: Int) {
        let memory = Buffer.allocate(bytes)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
        let address = UInt(bitPattern: memory)
        self.init(base: memory, capacity: bytes) { free(UnsafeMutableRawPointer(bitPattern: address)) }
    }

    deinit { release() }

    func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(start: base, count: count)
    }

    func room(at offset: Int = 0, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: base + offset, count: count)
    }

    fileprivate static func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
        var memory: UnsafeMutableRawPointer?
        let code = posix_memalign(&memory, StagedFile.alignment, max(bytes, 1))
        guard code == 0, let memory else { fatalError("out of memory: \(bytes) bytes") }
        return memory
    }
}
