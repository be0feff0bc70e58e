import Foundation
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import Origins
import ServiceLifecycle
import Synchronization
import WeightStore

/// An HTTP server for the contents of a store: for clients of the Hugging Face Hub, peers and browsers.
///
///     let server = try HubServer(store, ServerOptions(port: 0), logger: logger)
///     try await server.run { port in print("http://127.0.0.1:\(port)") }
///
/// **The path of a request**: with a certificate, `TLSChannel` decrypts; `ConnectionGuard` watches the connection;
/// `Responder` checks the token, parses the `Route`, and writes the log and the metrics; `Hub` answers Hub clients,
/// `Peers` other stores, `OperatorPages` the operator. Every blocking call runs on `BlockingThreads`, and what an origin may
/// delay runs on threads of a `FetchGate`, so that it delays no stored bytes. `StoredBytes` reads a piece while the previous
/// one is sent, so a slow client costs two pieces of memory, and no thread.
///
/// The server writes only access counts to the store. A ``PullThrough`` fetches models and files that the store lacks.
public final class HubServer: Sendable {
    private let responder: Responder
    private let flush: AccessFlush
    private let renewals: [Renewal]
    private let options: ServerOptions
    /// For the messages of the frameworks.
    private let logger: Logger
    private let stopping = AsyncStream<Void>.makeStream()
    private let boundAdminPort = Mutex<Int?>(nil)

    /// The port of the operator's listener, as soon as the server listens; nil without ``ServerOptions/adminPort``.
    public var adminPort: Int? { boundAdminPort.withLock { $0 } }

    /// - Parameters:
    ///   - pullThrough: fetches models and files that the store lacks; with nil the response is 404.
    ///   - inFlight: the fetches in progress, for peers that wait for them.
    ///   - logger: receives a line for each request, at `info`.
    /// - Throws: ``SupportError`` if threads cannot be created.
    public init(
        _ store: Store, _ options: ServerOptions = ServerOptions(), pullThrough: (any PullThrough)? = nil,
        inFlight: (any InFlightFetches)? = nil, logger: Logger = Logger(label: "weightstore.server")
    ) throws {
        let threads = BlockingThreads(count: 16)
        let responder = Responder(
            store, options, threads: threads, readers: BlockingThreads(count: 32), pullThrough: pullThrough,
            inFlight: inFlight, logger: logger)
        self.responder = responder
        flush = AccessFlush(store: store, threads: threads)
        renewals = [
            options.certificate.map { Renewal(of: $0, threads: threads, logger: logger) },
            options.changedTokens.map { Renewal(ofTokens: $0, of: responder, threads: threads, logger: logger) },
        ].compactMap(\.self)
        self.options = options
        var quiet = logger
        quiet.logLevel = max(.warning, logger.logLevel)
        self.logger = quiet
    }

    /// Serves until ``stop()``, or until the task is cancelled.
    ///
    /// - Parameter listening: called with the port as soon as connections are accepted.
    /// - Throws: ``ServerError/bind(host:port:reason:)``.
    public func run(listening: @escaping @Sendable (_ port: Int) -> Void = { _ in }) async throws {
        var services: [any Service] = []
        var admin: AdminListener?
        if let port = options.adminPort {
            let listener = AdminListener(options, responder)
            let bound = try await listener.bind(to: port)
            boundAdminPort.withLock { $0 = bound }
            services.append(listener)
            admin = listener
        }
        services += [application(listening), flush]
        services += renewals
        var configuration = ServiceGroupConfiguration(services: services, logger: logger)
        configuration.maximumGracefulShutdownDuration = .seconds(options.drainSeconds)
        let group = ServiceGroup(configuration: configuration)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { [stopping = stopping.stream] in
                for await _ in stopping { break }
                await group.triggerGracefulShutdown()
            }
            do {
                try await group.run()
            } catch {
                await admin?.close()
                throw Self.failure(error, host: options.host, port: options.port)
            }
            tasks.cancelAll()
        }
        try await flush.now()
    }

    /// The error for a failure to listen, and other errors as they are.
    static func failure(_ error: any Error, host: String, port: Int) -> any Error {
        switch error {
        case let error as IOError:
            ServerError.bind(host: host, port: port, reason: "\(String(cString: strerror(error.errnoCode)))")
        case is SocketAddressError.UnknownHost:
            ServerError.bind(host: host, port: port, reason: "the host name cannot be resolved")
        default: error
        }
    }

    private func application(_ listening: @escaping @Sendable (Int) -> Void) -> Application<Responder> {
        var limits = HTTP1Channel.Configuration.DecoderConfiguration()
        (limits.maxHeaderFieldSize, limits.maxHeaderListSize, limits.maxHeaderFieldCount) = (16 << 10, 32 << 10, 100)
        let http = HTTP1Channel.Configuration(
            additionalChannelHandlers: [
                ConnectionGuard(
                    isEncrypted: self.options.certificate != nil, requestSeconds: self.options.requestSeconds,
                    stallSeconds: self.options.stallSeconds)
            ],
            idleTimeout: .seconds(Int64(options.idleSeconds)), httpDecoderConfiguration: limits)
        return Application(
            responder: responder,
            server: HTTPServerBuilder { [certificate = options.certificate] responder in
                let channel = HTTP1Channel(responder: responder, configuration: http)
                guard let certificate else { return channel }
                return TLSChannel(base: channel, certificate: certificate)
            },
            configuration: ApplicationConfiguration(
                address: .hostname(options.host, port: options.port), serverName: "weightstore", backlog: 1024,
                availableConnectionsDelegate: MaximumAvailableConnections(options.connections, logger: logger)),
            onServerRunning: { [port = options.port] channel in listening(channel.localAddress?.port ?? port) },
            logger: logger)
    }

    /// Reads the files of the certificate again, and uses other tokens from now on. Blocks. Open connections keep their
    /// certificate, and requests in progress end.
    ///
    /// - Parameter tokens: the tokens of which clients must send one; nil keeps those in use.
    /// - Throws: ``ServerError/certificate(path:reason:)``; the previous certificate then stays in use.
    public func reload(tokens: [AccessToken]?) throws {
        if let tokens { responder.setTokens(tokens) }
        if case .failed(let error) = options.certificate?.look(again: true) { throw error }
    }

    /// Stops accepting requests; those in progress have ``ServerOptions/drainSeconds`` to end.
    public func stop() { stopping.continuation.finish() }
}

/// Writes the counts of accesses to the catalog every minute: a server may run for months.
private struct AccessFlush: Service {
    let store: Store
    let threads: BlockingThreads

    func run() async throws {
        try await cancelWhenGracefulShutdown {
            while true {
                do { try await Task.sleep(for: .seconds(60)) } catch { return }
                try await now()
            }
        }
    }

    func now() async throws { try await threads.run { [store] in store.flush() } }
}
