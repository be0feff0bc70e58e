import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import Synchronization
import WeightStore

/// Receives one response: its head is checked when it arrives, and its body is written directly to the memory for which
/// the caller waits.
///
/// Sendable because all of its state is behind the mutex, which also guards the memory: after `close`, nothing is
/// written to it.
final class ResponseSink: HTTPClientResponseDelegate, @unchecked Sendable {
    typealias Response = Void

    /// The treatment of the body.
    enum Plan {
        /// It has this many bytes, which are written to the memory.
        case fill(Int)
        /// It is kept as text, up to this many bytes.
        case keep(limit: Int)
    }

    struct State {
        var head: HTTPResponseHead?
        var plan = Plan.keep(limit: 0)
        /// Bytes of the memory that are filled.
        var filled = 0
        /// All bytes of both bodies that were sent and received, wherever they are kept.
        var transferred = 0
        var text: [UInt8] = []
        /// More bytes arrived than were announced, or than are kept.
        var isTooLong = false
        var isClosed = false
    }

    private let memory: UnsafeMutableRawBufferPointer
    private let validator: @Sendable (HTTPResponseHead) throws -> Plan
    private let work: Work
    private let limit: RateLimit?
    private let state = Mutex(State())

    /// - Parameter validator: checks the head; an error that it throws ends the request.
    init(
        _ memory: UnsafeMutableRawBufferPointer, _ work: Work, _ limit: RateLimit?,
        validator: @escaping @Sendable (HTTPResponseHead) throws -> Plan
    ) {
        self.memory = memory
        self.work = work
        self.limit = limit
        self.validator = validator
    }

    /// Bytes of the request's and the response's body that were transferred so far.
    var transferred: Int { state.withLock { $0.transferred } }

    /// Ends writing to the memory, and returns the response so far.
    func close() -> State {
        state.withLock { state in
            state.isClosed = true
            return state
        }
    }

    func didSendRequestPart(task: HTTPClient.Task<Void>, _ part: IOData) {
        state.withLock { $0.transferred += part.readableBytes }
    }

    func didReceiveHead(task: HTTPClient.Task<Void>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
        do {
            let plan = try validator(head)
            state.withLock { state in
                state.head = head
                state.plan = plan
            }
            return task.eventLoop.makeSucceededVoidFuture()
        } catch {
            state.withLock { $0.head = head }
            return task.eventLoop.makeFailedFuture(error)
        }
    }

    func didReceiveBodyPart(task: HTTPClient.Task<Void>, _ buffer: ByteBuffer) -> EventLoopFuture<Void> {
        if work.isCancelled { return task.eventLoop.makeFailedFuture(CancellationError()) }
        let (kept, isTooLong) = state.withLock { state in (append(buffer, &state), state.isTooLong) }
        if isTooLong { return task.eventLoop.makeFailedFuture(TooLong()) }
        work.advance(kept)
        guard let pause = limit?.delay(afterReceiving: buffer.readableBytes), pause > .zero else {
            return task.eventLoop.makeSucceededVoidFuture()
        }
        return task.eventLoop.scheduleTask(in: .nanoseconds(Int64(pause / .nanoseconds(1)))) {}.futureResult
    }

    func didFinishRequest(task: HTTPClient.Task<Void>) throws {}

    struct TooLong: Error {}

    /// - Returns: the number of bytes written to the memory.
    private func append(_ buffer: ByteBuffer, _ state: inout State) -> Int {
        if state.isClosed { return 0 }
        let count = buffer.readableBytes
        state.transferred += count
        switch state.plan {
        case .fill(let bytes):
            guard state.filled + count <= bytes else {
                state.isTooLong = true
                return 0
            }
            buffer.withUnsafeReadableBytes { part in
                UnsafeMutableRawBufferPointer(rebasing: memory[state.filled..<state.filled + count]).copyMemory(
                    from: part)
            }
            state.filled += count
            return count
        case .keep(let limit):
            let space = max(limit - state.text.count, 0)
            state.text += buffer.readableBytesView.prefix(space)
            if count > space { state.isTooLong = true }
            return 0
        }
    }
}
