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
    let operation: OperatorPages
    /// The hub that has what a store has not, without a slash at the end.
    private let upstream: String?
    private let currentTokens: Shared<Mutex<[AccessToken]?>>
    private let metrics: ServerMetrics
    let logger: Logger

    init(
        _ store: Store, _ options: ServerOptions, threads: BlockingThreads, readers: BlockingThreads,
        pullThrough: (any PullThrough)?, inFlight: (any InFlightFetches)?, logger: Logger
    ) {
        metrics = ServerMetrics()
        let fetches = FetchMetrics()
        hub = Hub(
            store: store, threads: threads, readers: readers,
            pulls: PullGate(pullThrough, fetches, logger: logger) { [weak store] ref, failure in
                store?.recordUpstreamFailure(ref, failure)
            },
            fetches: ByteFetches(fetches), pageEntries: options.pageEntries)
        peers = Peers(store: store, threads: threads, readers: readers, inFlight: inFlight)
        operation = OperatorPages(
            store: store, options, threads: threads, metrics: metrics, fetches: fetches, logger: logger)
        // Its URL may have a user, which no client may see.
        upstream = options.upstream.flatMap { Address($0)?.name }.map { $0.dropping(byteSuffix: "/") ?? $0 }
        currentTokens = Shared(Mutex(options.tokens))
        self.logger = logger
    }

    /// The tokens that are accepted; nil if none is required.
    var tokens: [AccessToken]? { currentTokens.value.withLock { $0 } }

    /// Requires one of these tokens from now on.
    func setTokens(_ tokens: [AccessToken]) { currentTokens.value.withLock { $0 = tokens } }

    func respond(to request: Request, context: ConnectionContext) async throws -> Response {
        let record = RequestRecord(request.headers)
        let context = context.answering(record)
        let line = AccessLine(request, peer: context.peer, record, logger: logger)
        var answer: Answer
        do {
            answer = try await ConnectionContext.$current.withValue(context) {
                try await self.answer(request, record)
            }
        } catch {
            let failure = HubError(error)
            answer = Answer(failure)
            if failure.isOfServer { line.fail(error) }
        }
        answer.fields[.xRequestID] = record.id
        metrics.answered(request.method, answer.status)
        return response(answer, to: request, context, line)
    }

    private func answer(_ request: Request, _ record: RequestRecord) async throws -> Answer {
        let route = try Route(request.uri.path)
        let client = try client(of: request, reading: route.content)
        record.token = client?.name
        if case .otherRepository(let kind) = route { return try elsewhere(kind, request) }
        if case .pathsInfo(let model, let revision) = route {
            guard request.method == .post else { throw HubError.method(allowed: "POST") }
            return try await hub.pathsInfo(model, revision, request)
        }
        guard [.get, .head].contains(request.method) else { throw HubError.method(allowed: "GET, HEAD") }
        switch route {
        case .dashboard(let page): return try await operation.dashboard.answer(page, request)
        case .live: return operation.life()
        // Without a token that reads everything, it names no model.
        case .ready:
            let mayName = (try? self.client(of: request, reading: .store)) != nil || tokens == nil
            return try await operation.readiness(namesShards: mayName)
        case .metrics: return try await operation.exposition()
        case .whoAmI: return try hub.whoAmI(request)
        case .models: return try await hub.models(request, for: client)
        case .model(let model, let revision): return try await hub.model(model, revision, request)
        case .tree(let model, let revision, let path): return try await hub.tree(model, revision, path, request)
        case .refs(let model): return try await hub.refs(model)
        case .commits(let model, let revision): return try await hub.commits(model, revision, request)
        case .authCheck(let model): return try await hub.authCheck(model)
        case .discussions(let model): return try await hub.discussions(model)
        case .file(let model, let revision, let path):
            return try await sending(record) { try await hub.file(model, revision, path, request) }
        case .raw(let model, let revision, let path):
            return try await sending(record) { try await hub.file(model, revision, path, isRaw: true, request) }
        case .registry: return hub.registry()
        case .registryManifest(let model, let tag): return try await hub.registryManifest(model, tag: tag, request)
        case .registryBlob(let model, let digest):
            return try await sending(record) { try await hub.registryBlob(model, digest, request) }
        case .revisions(let model): return try await peers.revisions(model)
        case .shard(let digest):
            return try await sending(record) { try await peers.shard(digest, request, for: client) }
        case .manifest(let digest):
            return try await sending(record) { try await peers.manifest(digest, request, for: client) }
        case .pathsInfo, .otherRepository: throw HubError.noPage
        }
    }

    /// A response with bytes of the store, whose first byte is ready.
    private func sending(_ record: RequestRecord, _ body: () async throws -> Answer) async throws -> Answer {
        let answer = try await body()
        record.noteFirstByte()
        if answer.hasBytes, let seconds = record.firstByte.map({ $0 / .seconds(1) }) {
            metrics.firstByte(record.source, seconds)
        }
        return answer
    }

    /// Redirects a request for a dataset, a space or a kernel to the upstream hub.
    ///
    /// - Throws: ``HubError/otherRepository(_:)`` without an upstream, and if the server requires a token: clients send
    ///   theirs to the hub, too, which must not receive it, and would reject it.
    private func elsewhere(_ kind: OtherRepository, _ request: Request) throws(HubError) -> Answer {
        guard let upstream, tokens == nil, let path = request.head.path, path.utf8.allSatisfy({ 0x21...0x7E ~= $0 })
        else {
            throw .otherRepository(kind)
        }
        return Answer(status: .temporaryRedirect, fields: [.location: upstream + path])
    }

    /// The client's token; nil if the server requires none.
    private func client(of request: Request, reading content: Route.Content) throws(HubError) -> AccessToken? {
        try AccessToken.client(request.headers[.authorization], reading: content, among: tokens)
    }

    private func response(
        _ answer: Answer, to request: Request, _ context: ConnectionContext, _ line: AccessLine
    ) -> Response {
        var fields = answer.fields
        if answer.status != .notModified, answer.hasKnownSize { fields[.contentLength] = "\(answer.bytes)" }
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
        case .updates(let updates):
            let body = ResponseBody { [metrics] writer in
                let count = ServerMetrics.Count()
                do {
                    let window = try await context.window()
                    try await updates.run { buffer in
                        try await window.reserve(buffer.readableBytes)
                        try await writer.write(buffer)
                        count.add(buffer.readableBytes)
                        metrics.sent(buffer.readableBytes)
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
    /// What is known of the request.
    private(set) var record: RequestRecord?

    init(source: ApplicationRequestContextSource) { channel = source.channel }

    /// The connection while it answers a request.
    func answering(_ record: RequestRecord) -> ConnectionContext {
        var context = self
        context.record = record
        return context
    }

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
