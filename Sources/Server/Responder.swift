import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import Origins
import Support
import Synchronization
import WeightStore
import WireFormats

/// Answers every request: checks the token, selects the handler, and records the result in log and metrics.
struct Responder: HTTPResponder {
    private let hub: Hub
    private let peers: Peers
    private let operation: OperatorPages
    private let currentToken: Shared<Mutex<AccessToken?>>
    private let metrics: Metrics
    private let logger: Logger

    init(
        _ store: Store, _ options: ServerOptions, threads: BlockingThreads, readers: BlockingThreads,
        pullThrough: (any PullThrough)?, inFlight: (any InFlightFetches)?, logger: Logger
    ) {
        metrics = Metrics()
        let fetches = FetchMetrics()
        hub = Hub(
            store: store, threads: threads, readers: readers, pulls: PullGate(pullThrough, fetches, logger: logger),
            fetches: ByteFetches(store, fetches), pageEntries: options.pageEntries)
        peers = Peers(store: store, threads: threads, readers: readers, inFlight: inFlight)
        operation = OperatorPages(store: store, threads: threads, metrics: metrics, fetches: fetches)
        currentToken = Shared(Mutex(options.token))
        self.logger = logger
    }

    private var token: AccessToken? { currentToken.value.withLock { $0 } }

    /// Requires another token from now on.
    func setToken(_ token: AccessToken) { currentToken.value.withLock { $0 = token } }

    func respond(to request: Request, context: ConnectionContext) async throws -> Response {
        let line = AccessLine(request, peer: context.peer, logger: logger)
        let answer: Answer
        do {
            answer = try await ConnectionContext.$current.withValue(context) { try await self.answer(request) }
        } catch {
            let failure = HubError(error)
            answer = Answer(failure)
            if failure.isOfServer { logger.error("\(line.request): \(error)") }
        }
        metrics.answered(request.method, answer.status)
        return response(answer, to: request, context, line)
    }

    private func answer(_ request: Request) async throws -> Answer {
        let route = try Route(request.uri.path)
        if route != .health { try authorize(request) }
        if case .pathsInfo(let model, let revision) = route {
            guard request.method == .post else { throw HubError.method(allowed: "POST") }
            return try await hub.pathsInfo(model, revision, request)
        }
        guard [.get, .head].contains(request.method) else { throw HubError.method(allowed: "GET, HEAD") }
        switch route {
        case .page: return try await operation.page()
        // Without the token, /health names no model.
        case .health: return try await operation.health(namesShards: (try? authorize(request)) != nil)
        case .metrics: return try await operation.text()
        case .whoAmI: return try hub.whoAmI(request)
        case .models: return try await hub.models(request)
        case .model(let model, let revision): return try await hub.model(model, revision, request)
        case .tree(let model, let revision, let path): return try await hub.tree(model, revision, path, request)
        case .refs(let model): return try await hub.refs(model)
        case .commits(let model, let revision): return try await hub.commits(model, revision, request)
        case .authCheck(let model): return try await hub.authCheck(model)
        case .file(let model, let revision, let path): return try await hub.file(model, revision, path, request)
        case .revisions(let model): return try await peers.revisions(model)
        case .shard(let digest): return try await peers.shard(digest, request, isPublic: token == nil)
        case .manifest(let digest): return try await peers.manifest(digest, request, isPublic: token == nil)
        case .pathsInfo: throw HubError.noPage
        }
    }

    private func authorize(_ request: Request) throws(HubError) {
        guard let token else { return }
        guard let field = request.headers[.authorization] else { throw .unauthorized(isMissing: true) }
        guard token.isShown(by: field) else { throw .unauthorized(isMissing: false) }
    }

    private func response(_ answer: Answer, to request: Request, _ context: ConnectionContext, _ line: AccessLine)
        -> Response
    {
        var fields = answer.fields
        if answer.status != .notModified { fields[.contentLength] = "\(answer.bytes)" }
        guard request.method != .head else {
            line.write(answer.status, bytes: 0)
            return Response(status: answer.status, headers: fields)
        }
        switch answer.body {
        case .none:
            line.write(answer.status, bytes: 0)
            return Response(status: answer.status, headers: fields)
        case .bytes(let buffer):
            metrics.sent(buffer.readableBytes)
            line.write(answer.status, bytes: buffer.readableBytes)
            return Response(status: answer.status, headers: fields, body: ResponseBody(byteBuffer: buffer))
        case .stream(let pieces, let first):
            let body = ResponseBody(contentLength: answer.bytes) { [metrics] writer in
                let count = metrics.begin()
                defer { metrics.end() }
                do {
                    let window = try await context.window()
                    try await pieces.send(first: first, to: &writer, window: window) { bytes in
                        count.add(bytes)
                        metrics.sent(bytes)
                    }
                    try await writer.finish(nil)
                    line.write(answer.status, bytes: count.value)
                } catch {
                    line.write(answer.status, bytes: count.value, broken: error)
                    throw error
                }
            }
            return Response(status: answer.status, headers: fields, body: body)
        }
    }
}

/// The connection on which a request arrived.
struct ConnectionContext: InitializableFromSource {
    /// That of the request that the current task answers. Fetches end when its client disconnects.
    @TaskLocal static var current: ConnectionContext?

    private let channel: any Channel

    init(source: ApplicationRequestContextSource) { channel = source.channel }

    var peer: String { channel.remoteAddress?.ipAddress ?? "-" }

    /// - Throws: `ChannelPipelineError` if the connection is closed.
    func window() async throws -> SendWindow {
        try await channel.eventLoop.submit { [channel] in
            try channel.pipeline.syncOperations.handler(type: ConnectionGuard.self).window
        }.get()
    }

    /// - Throws: ``HubError/clientGone`` if the connection is closed.
    func presence() async throws -> ClientPresence {
        do {
            return try await channel.eventLoop.submit { [channel] in
                try channel.pipeline.syncOperations.handler(type: ConnectionGuard.self).presence
            }.get()
        } catch {
            throw HubError.clientGone
        }
    }
}
