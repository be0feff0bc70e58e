import AsyncHTTPClient
import Dispatch
import NIOCore
import NIOHTTP1
import Synchronization
import WeightStore
import WireFormats

/// HTTP requests of origins: blocking, on the caller's thread, one attempt each. `Transport+Retry` repeats attempts.
package final class Transport: Sendable {
    package let options: TransportOptions
    /// One for each proxy, and one without. They are created at their first request: most commands send none, and do not
    /// need the threads for connections.
    private let clients = Mutex<[ProxyServer?: HTTPClient]>([:])
    private let limit: RateLimit?

    /// The part of an error response that is kept, in bytes.
    private static let errorBytes = 4096

    package init(_ options: TransportOptions) {
        self.options = options
        limit = options.bytesPerSecond.map(RateLimit.init)
    }

    /// The client that connects to an address, through its proxy if it has one.
    ///
    /// - Throws: ``FetchError/unusable(url:reason:)`` for a proxy that cannot be used.
    func client(for address: Address) throws -> HTTPClient {
        let proxy = try options.proxies.server(for: address)
        return clients.withLock { clients in
            if let client = clients[proxy] { return client }
            let client = Self.client(options, proxy)
            clients[proxy] = client
            return client
        }
    }

    private static func client(_ options: TransportOptions, _ proxy: ProxyServer?) -> HTTPClient {
        var configuration = HTTPClient.Configuration()
        configuration.proxy = proxy.map { HTTPClient.Configuration.Proxy($0) }
        // One connection per range: HTTP/2 would send all ranges through one flow-control window.
        configuration.httpVersion = .http1Only
        // A redirect must not carry the token to another host.
        configuration.redirectConfiguration = .disallow
        configuration.tlsConfiguration = options.trust.configuration
        configuration.timeout = .init(
            connect: .nanoseconds(Int64(Int(saturating: options.connectSeconds * 1e9))),
            read: .nanoseconds(Int64(Int(saturating: options.idleSeconds * 1e9))))
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = options.connectionsPerHost
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }

    deinit {
        // A failure cannot be reported any more.
        for client in clients.withLock({ Array($0.values) }) { client.shutdown { _ in } }
    }

    /// A request, created again for each attempt.
    package struct Request: Sendable {
        package var method = HTTPMethod.GET
        package var address: Address
        package var headers: HTTPHeaders = [:]
        package var body: [UInt8]?

        package init(method: HTTPMethod = .GET, address: Address, headers: HTTPHeaders = [:], body: [UInt8]? = nil) {
            self.method = method
            self.address = address
            self.headers = headers
            self.body = body
        }
    }

    package struct Response: Sendable {
        package var status: Int
        package var headers: HTTPHeaders
        /// Bytes of the memory that were filled.
        var filled: Int
        /// The body of a response that does not fill the memory.
        package var text: [UInt8]
    }

    /// One request, without retries and redirects.
    ///
    /// - Parameters:
    ///   - memory: receives the body if `validator` says so.
    ///   - filled: set to the number of bytes written to the memory, even if an error is thrown.
    func once(
        _ request: Request, into memory: UnsafeMutableRawBufferPointer, filled: inout Int, _ work: Work,
        validator: @escaping @Sendable (HTTPResponseHead) throws -> ResponseSink.Plan
    ) throws -> Response {
        if let problem = problem(with: request.address) { throw problem }
        let sink = ResponseSink(memory, work, limit, validator: validator)
        let made = try HTTPClient.Request(
            url: request.address.text, method: request.method, headers: request.headers,
            body: request.body.map { .bytes($0) })
        let task = try client(for: request.address).execute(request: made, delegate: sink)
        let end = DispatchSemaphore(value: 0)
        let outcome = Mutex<Result<Void, any Error>?>(nil)
        let shared = Shared(outcome)
        task.futureResult.whenComplete { result in
            shared.value.withLock { $0 = result }
            end.signal()
        }
        let start = ContinuousClock.now
        var crawls = false
        while end.wait(timeout: .now() + .milliseconds(100)) == .timedOut {
            if work.isCancelled { task.cancel() }
            let seconds = (ContinuousClock.now - start) / .seconds(1) - options.rateCheckSeconds
            if seconds > 0, Double(sink.transferred) < seconds * Double(options.minimumBytesPerSecond) {
                crawls = true
                task.cancel()
            }
        }
        let state = sink.close()
        filled = state.filled
        if work.isCancelled { throw CancellationError() }
        if crawls { throw HTTPClientError.readTimeout }
        do {
            try shared.value.withLock { $0! }.get()
        } catch is ResponseSink.TooLong where state.text.count == Self.errorBytes {
            // The beginning of an error page is sufficient.
        }
        guard let head = state.head else { throw HTTPClientError.remoteConnectionClosed }
        return Response(status: Int(head.status.code), headers: head.headers, filled: state.filled, text: state.text)
    }

    /// The reason why an address cannot be requested at all.
    func problem(with address: Address) -> FetchError? { address.scheme == "https" ? options.trust.problem : nil }

    /// Keeps the beginning of a response that is not the requested one.
    static var keepingText: ResponseSink.Plan { .keep(limit: errorBytes) }
}
