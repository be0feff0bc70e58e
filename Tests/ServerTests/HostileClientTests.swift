import Foundation
import Server
import Synchronization
import TestSupport
import Testing
import WeightStore

/// Clients that are broken, slow, numerous or hostile: none of them delays the others.
@Suite(.blocking)
struct HostileClientTests {
    private let weights = "/org/base/resolve/main/model.safetensors"

    /// Sends bytes, and returns the answer until the server closes the connection.
    private func send(_ text: String, to server: TestServer) async throws -> String {
        try await onThread {
            let connection = try Connection(port: server.port)
            // The server may close before it has read all.
            try? connection.send(text)
            var answer: [UInt8] = []
            while true {
                let more = try connection.receive()
                if more.isEmpty { break }
                answer += more
            }
            return String(decoding: answer, as: UTF8.self)
        }
    }

    private func isResponsive(_ server: TestServer) async throws -> Bool {
        try await server.get("/org/base/resolve/main/config.json").status == 200
    }

    @Test("headers and paths without end are refused, and the connection is closed")
    func huge() async throws {
        let server = try await TestServer.shared.value
        let long = String(repeating: "a", count: 1 << 20)
        #expect(try await send("GET / HTTP/1.1\r\nHost: x\r\nX: \(long)\r\n\r\n", to: server).hasPrefix("HTTP/1.1 400"))
        #expect(try await send("GET /\(long) HTTP/1.1\r\nHost: x\r\n\r\n", to: server).hasPrefix("HTTP/1.1 400"))
        let many = (0..<1000).map { "X-\($0): y\r\n" }.joined()
        #expect(try await send("GET / HTTP/1.1\r\nHost: x\r\n\(many)\r\n", to: server).hasPrefix("HTTP/1.1 400"))
        #expect(try await isResponsive(server))
    }

    @Test(
        "bytes that are not HTTP are refused",
        arguments: [
            "\u{0}\u{1}\u{2}\u{3}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", "GET / HTTP/1.1\r\nHost x\r\n\r\n",
        ])
    func garbage(text: String) async throws {
        let server = try await TestServer.shared.value
        #expect(try await send(text, to: server).hasPrefix("HTTP/1.1 400"))
        #expect(try await isResponsive(server))
    }

    @Test("a request that never ends is cut off: in its head, and in its body")
    func slow() async throws {
        var options = ServerOptions()
        (options.idleSeconds, options.requestSeconds) = (1, 1)
        let server = try await TestServer(options)
        let starts = [
            "GET / HT", "GET / HTTP/1.1\r\nX: ",
            "POST /api/models/org/base/paths-info/main HTTP/1.1\r\nContent-Length: 1000\r\n\r\n",
        ]
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for text in starts {
                group.addTask {
                    try await onThread {
                        let connection = try Connection(port: server.port, timeoutSeconds: 1)
                        try connection.send(text)
                        // One byte at intervals, without end.
                        for _ in 0..<60 {
                            try? connection.send("a")
                            usleep(100_000)
                            if (try? connection.receive().isEmpty) == true { return true }
                        }
                        return false
                    }
                }
            }
            for try await isClosed in group { #expect(isClosed) }
        }
        #expect(try await isResponsive(server))
    }

    @Test("a client that reads nothing is disconnected, and the buffers of its response are freed")
    func stalled() async throws {
        var options = ServerOptions()
        options.stallSeconds = 1
        let server = try await TestServer(options)
        let connection = try await server.connect(receiveBuffer: 1 << 16)
        try await onThread { [weights] in
            // More than all buffers of the kernel hold.
            for _ in 0..<4 { try connection.send(TestServer.request("GET", weights)) }
        }
        #expect(try await eventually { server.log.lines.contains { $0.contains("interrupted") } })
        #expect(try await eventually { try await server.metric("weightstore_http_streams") == 0 })
        #expect(try await isResponsive(server))
        withExtendedLifetime(connection) {}
    }

    @Test("a client that disconnects in the middle of a file ends the work at once")
    func goesAway() async throws {
        let server = try await TestServer()
        for _ in 0..<5 {
            let connection = try await server.connect(receiveBuffer: 1 << 16)
            try await onThread { [weights] in
                try connection.send(TestServer.request("GET", weights))
                _ = try connection.receive(most: 1000)
            }
        }
        #expect(try await eventually { try await server.metric("weightstore_http_streams") == 0 })
        let size = try TestServer.base.file(TestServer.base.tensors).count
        #expect(try #require(try await server.metric("weightstore_http_bytes_sent_total")) < 5 * size)
        #expect(server.log.lines.filter { $0.contains("interrupted") }.count == 5)
        // No lease on the revision is left.
        #expect(try await eventually { (try? server.store.remove(["org/base"])) != nil })
    }

    @Test("a thousand idle connections do not delay other clients, and are closed in time")
    func idle() async throws {
        var options = ServerOptions()
        options.idleSeconds = 5
        let server = try await TestServer(options)
        try await server.checkIdleConnections(isResponsive: isResponsive)
    }

    @Test("beyond the limit, connections wait until others are closed")
    func limit() async throws {
        var options = ServerOptions()
        (options.connections, options.idleSeconds) = (10, 600)
        let server = try await TestServer(options)
        // Each is accepted before the next: several that arrive at once are accepted together.
        var idle = try await onThread {
            try (0..<10).map { _ in
                let connection = try Connection(port: server.port)
                try connection.send(TestServer.request("GET", "/health"))
                #expect(try connection.answer().status == 200)
                return connection
            }
        }
        let isServed = Mutex(false)
        async let last = {
            defer { isServed.withLock { $0 = true } }
            return try await isResponsive(server)
        }()
        try await Task.sleep(for: .milliseconds(500))
        #expect(!isServed.withLock { $0 })
        idle.removeLast()
        #expect(try await last)
    }

    @Test("an idle connection is closed, and one that receives a file slowly is not")
    func slowReader() async throws {
        var options = ServerOptions()
        (options.idleSeconds, options.stallSeconds) = (4, 60)
        let server = try await TestServer(options)
        let bytes = try TestServer.base.file(TestServer.base.tensors)
        let connection = try await server.connect(receiveBuffer: 1 << 16)
        let received = try await onThread { [weights] in
            try connection.send(TestServer.request("GET", weights))
            var count = 0
            var next = ContinuousClock.now
            while count < bytes.count {
                let more = try connection.receive().count
                if more == 0 { break }
                count += more
                // About three times as long for the whole file as a connection may be idle.
                next += .seconds(12 * Double(more) / Double(bytes.count))
                Thread.sleep(forTimeInterval: max((next - .now) / .seconds(1), 0))
            }
            return count
        }
        #expect(received > bytes.count)
    }
}
