import Dispatch
import Support
import Synchronization
import WeightStore

/// Fetches the parts of a shard, several at a time, and passes them on in order.
enum OrderedFetch {
    struct Part: Sendable {
        var offset: Int
        var length: Int
    }

    static let lanes = 4
    static let partBytes = 4 << 20

    /// Divides a length into parts.
    static func cut(_ length: Int) -> [Range<Int>] {
        stride(from: 0, to: length, by: partBytes).map { $0..<min($0 + partBytes, length) }
    }

    private struct State {
        var next = 0
        /// Parts that have arrived, and errors.
        var done: [Int: Result<[UInt8], any Error>] = [:]
        /// The number of parts passed on.
        var taken = 0
        var isOver = false
    }

    private final class Shared: Sendable {
        let state = Mutex(State())
        let work = Work()
        /// Signalled when a part has arrived.
        let arrived = DispatchSemaphore(value: 0)
        /// Signalled when a part has been passed on.
        let slots = DispatchSemaphore(value: 0)
    }

    /// Blocks until all parts are passed on.
    ///
    /// - Parameters:
    ///   - read: fills memory with a part; called on several threads at once.
    ///   - body: receives the number and the bytes of each part, in order, on the caller's thread.
    /// - Throws: the first error of `read` or `body`; `CancellationError`.
    static func fetch(
        _ parts: [Part], _ work: Work,
        _ read: @escaping @Sendable (Part, UnsafeMutableRawBufferPointer, Work) throws -> Void,
        _ body: (_ part: Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let shared = Shared()
        // Signalled, not created with a value: a semaphore must not be released below its initial value, and some parts
        // may never be passed on.
        for _ in 0..<2 * lanes { shared.slots.signal() }
        let threads = try WorkerThreads(count: min(lanes, parts.count))
        for _ in 0..<min(lanes, parts.count) {
            threads.submit {
                while true {
                    shared.slots.wait()
                    let index = shared.state.withLock { state -> Int? in
                        guard state.next < parts.count, !state.isOver else { return nil }
                        defer { state.next += 1 }
                        return state.next
                    }
                    guard let index else {
                        shared.slots.signal()
                        return
                    }
                    let part = parts[index]
                    let result = Result {
                        try [UInt8](unsafeUninitializedCapacity: part.length) { memory, count in
                            try read(part, UnsafeMutableRawBufferPointer(memory), shared.work)
                            count = part.length
                        }
                    }
                    shared.state.withLock { $0.done[index] = result }
                    shared.arrived.signal()
                }
            }
        }
        defer {
            // Threads that are still reading stop soon.
            shared.state.withLock { $0.isOver = true }
            shared.work.cancel()
            shared.slots.signal()
        }
        for index in parts.indices {
            var result: Result<[UInt8], any Error>?
            while result == nil {
                result = shared.state.withLock { $0.done.removeValue(forKey: index) }
                if result == nil, shared.arrived.wait(timeout: .now() + .milliseconds(100)) == .timedOut,
                    work.isCancelled
                {
                    throw CancellationError()
                }
            }
            try result!.get().withUnsafeBytes { try body(index, $0) }
            shared.slots.signal()
        }
    }
}
