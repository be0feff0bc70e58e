import Foundation
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import ServiceLifecycle
import Synchronization

/// The listener of the operator: `/metrics`, `/livez`, `/readyz` and `/health`, and nothing else.
///
/// It shares no thread with the server: an event loop and two threads for calls that block are its own, and no part of it
/// runs on Swift's cooperative pool. So it answers while all others are busy, and `/livez` while the disk does not answer. It
/// closes each connection after its response, one without a whole request or of too long a life (``ConnectionDeadline``), and
/// those beyond ``mostConnections``.
final class AdminListener: Service {
    private static let mostConnections = 64

    private let options: ServerOptions
    private let responder: Responder
    private let threads = NIOThreadPool(numberOfThreads: 2)
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let connections = Atomic<Int>(0)
    private let listener = Mutex<(any Channel)?>(nil)

    init(_ options: ServerOptions, _ responder: Responder) {
        self.options = options
        self.responder = responder
    }

    /// Begins to accept connections.
    ///
    /// - Returns: the port.
    /// - Throws: ``ServerError/bind(host:port:reason:)``.
    func bind(to port: Int) async throws -> Int {
        threads.start()
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [self] channel in
                let isFull = connections.add(1, ordering: .relaxed).newValue > Self.mostConnections
                channel.closeFuture.whenComplete { [self] _ in connections.subtract(1, ordering: .relaxed) }
                if isFull { return channel.close() }
                return channel.eventLoop.makeCompletedFuture { [self] in try configure(channel) }
            }
        do {
            let channel = try await bootstrap.bind(host: options.host, port: port).get()
            listener.withLock { $0 = channel }
            return channel.localAddress?.port ?? port
        } catch {
            await close()
            throw HubServer.failure(error, host: options.host, port: port)
        }
    }

    private func configure(_ channel: any Channel) throws {
        let handlers = channel.pipeline.syncOperations
        let deadline = ConnectionDeadline()
        try handlers.addHandler(deadline)
        if let certificate = options.certificate {
            try handlers.addHandler(NIOSSLServerHandler(context: certificate.context))
        }
        try handlers.configureHTTPServerPipeline(withErrorHandling: true)
        try handlers.addHandler(AdminHandler(responder, threads, deadline))
    }

    /// Serves until the server is stopped: the last state is visible while responses end.
    func run() async throws {
        // Cancelled, if the server cannot listen.
        try? await gracefulShutdown()
        await close()
    }

    /// Ends all connections and threads.
    func close() async {
        // The process ends, or the server has not started: no caller can do anything about a failure.
        try? await listener.withLock { $0 }?.close()
        try? await group.shutdownGracefully()
        try? await threads.shutdownGracefully()
    }
}

/// Answers the requests of one connection: one, because the response closes it.
private final class AdminHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let responder: Responder
    private let threads: NIOThreadPool
    private let deadline: ConnectionDeadline
    private var request: HTTPRequestHead?

    init(_ responder: Responder, _ threads: NIOThreadPool, _ deadline: ConnectionDeadline) {
        self.responder = responder
        self.threads = threads
        self.deadline = deadline
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): request = head
        case .body: break
        case .end:
            guard let head = request else { return }
            request = nil
            deadline.requestArrived()
            let loop = context.eventLoop
            if let answer = responder.immediateAdminAnswer(head) { return respond(answer, to: head, context) }
            threads.runIfActive(eventLoop: loop) { [responder] in responder.adminAnswer(head) }
                .assumeIsolated().whenComplete { result in
                    // It fails only while the listener is being closed.
                    guard case .success(let answer) = result else { return context.close(promise: nil) }
                    self.respond(answer, to: head, context)
                }
        }
    }

    private func respond(_ answer: Answer, to request: HTTPRequestHead, _ context: ChannelHandlerContext) {
        var fields = HTTPHeaders(answer.fields.map { ($0.name.rawName, $0.value) })
        fields.replaceOrAdd(name: "Content-Length", value: "\(answer.bytes)")
        fields.replaceOrAdd(name: "Connection", value: "close")
        let status = HTTPResponseStatus(statusCode: answer.status.code)
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: status, headers: fields))), promise: nil)
        if request.method != .HEAD, case .bytes(let buffer) = answer.body {
            context.write(wrapOutboundOut(.body(.byteBuffer(buffer))), promise: nil)
        }
        let sent = context.eventLoop.makePromise(of: Void.self)
        sent.futureResult.assumeIsolated().whenComplete { _ in context.close(promise: nil) }
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: sent)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
