import Foundation
import Logging
import Origins
import Server
import Synchronization
import TestSupport
import Testing
import WeightStore

/// A server in this process, on a port of its own, over a store with two models that share most of their bytes.
final class TestServer: Sendable {
    static let base = TestModel(layers: 2)
    /// For tests that change nothing.
    static let shared = Task { try await TestServer() }

    let directory: TemporaryDirectory
    let store: Store
    let port: Int
    let log = Log()
    private let server: HubServer
    private let running: Task<Void, any Error>

    /// - Parameter other: a server over whose store this one serves; nil makes a store.
    init(
        _ options: ServerOptions = ServerOptions(), beside other: TestServer? = nil,
        pullThrough: (@Sendable (Store, TemporaryDirectory) -> any PullThrough)? = nil
    ) async throws {
        let directory = try other?.directory ?? TemporaryDirectory()
        let store = try other?.store ?? Store(at: directory("store"), create: true)
        (self.directory, self.store) = (directory, store)
        if other == nil {
            try Self.base.write(to: directory("base"))
            try Self.base.tuned(seed: 7).write(to: directory("tuned"), files: 2)
            try await onThread {
                for (name, path) in [("org/base", "base"), ("org/tuned", "tuned"), ("single", "base")] {
                    try store.importModelBlocking(ImportRequest(source: directory(path), name: name))
                }
                try store.setRef("prod", to: "org/base")
            }
        }
        var options = options
        options.port = 0
        let log = log
        server = try HubServer(
            store, options, pullThrough: pullThrough?(store, directory),
            logger: Logger(label: "test") { _ in log })
        let (ports, port) = AsyncStream<Int>.makeStream()
        running = Task { [server] in
            defer { port.finish() }
            try await server.run { port.yield($0) }
        }
        var first = ports.makeAsyncIterator()
        guard let port = await first.next() else {
            try await running.value
            throw CancellationError()
        }
        self.port = port
    }

    deinit { server.stop() }

    /// The port of the operator's listener.
    var adminPort: Int? { server.adminPort }

    /// Stops it and waits for the end.
    func stop() async throws {
        server.stop()
        try await running.value
    }

    func connect(receiveBuffer: Int32? = nil) async throws -> Connection {
        try await onThread { [port] in try Connection(port: port, receiveBuffer: receiveBuffer) }
    }

    /// One request on a connection of its own.
    ///
    /// - Parameter other: another port than the server's.
    func ask(
        _ method: String, _ path: String, _ fields: [String: String] = [:], body: String = "", at other: Int? = nil
    ) async throws -> HTTPAnswer {
        try await onThread { [port = other ?? port] in
            let connection = try Connection(port: port)
            try connection.send(Self.request(method, path, fields, body: body))
            return try connection.answer(hasBody: method != "HEAD")
        }
    }

    func get(_ path: String, _ fields: [String: String] = [:]) async throws -> HTTPAnswer {
        try await ask("GET", path, fields)
    }

    static func request(
        _ method: String, _ path: String, _ fields: [String: String] = [:], body: String = ""
    ) -> String {
        var fields = fields.merging(["Host": "hub.test"]) { own, _ in own }
        if !body.isEmpty { fields["Content-Length"] = "\(body.utf8.count)" }
        return "\(method) \(path) HTTP/1.1\r\n" + fields.map { "\($0): \($1)\r\n" }.joined() + "\r\n" + body
    }

    /// Checks that a thousand silent connections do not delay other clients, and are closed.
    func checkIdleConnections(isResponsive: (TestServer) async throws -> Bool) async throws {
        let connections = try await onThread { [port] in try (0..<1000).map { _ in try Connection(port: port) } }
        #expect(try await isResponsive(self))
        let closed = try await onThread { try connections.filter { try $0.receive().isEmpty }.count }
        #expect(closed == 1000)
    }

    /// The present value of a metric.
    func metric(_ name: String, _ fields: [String: String] = [:]) async throws -> Int? {
        try await get("/metrics", fields).text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
            .flatMap { Int($0.split(separator: " ")[1]) }
    }
}

/// Keeps the log messages.
final class Log: LogHandler, Sendable {
    private let kept = Mutex<[String]>([])
    var lines: [String] { kept.withLock { $0 } }

    var metadata: Logger.Metadata {
        get { [:] }
        set {}
    }
    var logLevel: Logger.Level {
        get { .trace }
        set {}
    }
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { nil }
        set {}
    }

    func log(event: LogEvent) { kept.withLock { $0.append("\(event.level) \(event.message)") } }
}
