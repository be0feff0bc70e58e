import AsyncHTTPClient
import Dispatch
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization
import WeightStore
import WireFormats

extension Transport {
    /// The longest line that is accepted, in bytes.
    static let longestLine = 64 << 20

    /// Sends a request whose response arrives line by line, as long as the server keeps it open. Blocks until it ends.
    ///
    /// - Parameter body: receives each line, on the caller's thread. An error that it throws ends the request.
    /// - Throws: ``FetchError/stalled(url:seconds:attempts:)`` if nothing arrives for `idleSeconds`;
    ///   ``FetchError/malformed(url:expected:found:)`` for a line of more than ``longestLine`` bytes.
    package func lines(_ request: Request, _ work: Work, _ body: ([UInt8]) throws -> Void) throws {
        if let problem = problem(with: request.address) { throw problem }
        let sink = LineSink()
        let task = try client(for: request.address).execute(
            request: try HTTPClient.Request(
                url: request.address.text, method: request.method, headers: request.headers,
                body: request.body.map { .bytes($0) }),
            delegate: sink)
        task.futureResult.whenComplete { sink.end($0) }
        defer { task.cancel() }
        var splitter = LineSplitter(limit: Self.longestLine)
        while true {
            if work.isCancelled { throw CancellationError() }
            guard let event = sink.next(within: .milliseconds(100)) else { continue }
            switch event {
            case .bytes(let bytes):
                do {
                    try splitter.append(bytes, body)
                } catch let error as LineSplitter.TooLong {
                    throw FetchError.malformed(
                        url: request.address.name, expected: "lines of at most \(error.limit) bytes",
                        found: "a longer line")
                }
            case .end(nil):
                if sink.status != 200 {
                    throw FetchError.refused(
                        url: request.address.name, status: sink.status, expected: "200", attempts: 1)
                }
                return
            case .end(let error as HTTPClientError) where error == .readTimeout:
                throw FetchError.stalled(url: request.address.name, seconds: options.idleSeconds, attempts: 1)
            case .end(let error?):
                throw permanentFailure(error, at: request.address)
                    ?? FetchError.disconnected(
                        url: request.address.name, reason: cause(of: error, at: request.address), attempts: 1)
            }
        }
    }
}

/// Passes arriving bytes to the thread that waits for them.
private final class LineSink: HTTPClientResponseDelegate, Sendable {
    typealias Response = Void

    enum Event {
        case bytes([UInt8])
        case end((any Error)?)
    }

    private struct State {
        var events: [Event] = []
        var status = 0
    }

    private let state = Mutex(State())
    private let arrived = DispatchSemaphore(value: 0)

    var status: Int { state.withLock { $0.status } }

    /// - Returns: nil if nothing arrived.
    func next(within time: DispatchTimeInterval) -> Event? {
        guard arrived.wait(timeout: .now() + time) == .success else { return nil }
        return state.withLock { $0.events.removeFirst() }
    }

    func end(_ result: Result<Void, any Error>) {
        switch result {
        case .success: add(.end(nil))
        case .failure(let error): add(.end(error))
        }
    }

    private func add(_ event: Event) {
        state.withLock { $0.events.append(event) }
        arrived.signal()
    }

    func didReceiveHead(task: HTTPClient.Task<Void>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
        state.withLock { $0.status = Int(head.status.code) }
        return task.eventLoop.makeSucceededVoidFuture()
    }

    func didReceiveBodyPart(task: HTTPClient.Task<Void>, _ buffer: ByteBuffer) -> EventLoopFuture<Void> {
        if status == 200 { add(.bytes(Array(buffer.readableBytesView))) }
        return task.eventLoop.makeSucceededVoidFuture()
    }

    func didFinishRequest(task: HTTPClient.Task<Void>) throws {}
}
