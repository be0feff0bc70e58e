import Dispatch
import Foundation
import Glibc
import Server
import Storage
import Support
import TestSupport
import Testing
@testable import WeightStore

/// The state of a server, and the operator's own listener.
@Suite(.blocking)
struct AdminListenerTests {
    private func server(_ change: (inout ServerOptions) throws -> Void = { _ in }) async throws -> (TestServer, Int) {
        var options = ServerOptions()
        options.adminPort = 0
        try change(&options)
        let server = try await TestServer(options)
        return (server, try #require(server.adminPort))
    }

    @Test("it has the metrics and the state, and nothing else")
    func answers() async throws {
        let (server, port) = try await server()
        for path in ["/livez", "/readyz", "/health", "/metrics"] {
            let answer = try await server.ask("GET", path, at: port)
            #expect(answer.status == 200, "\(path)")
            #expect(try await server.ask("HEAD", path, at: port).status == 200)
            #expect(try await server.get(path).status == 200)
        }
        let metrics = try await server.ask("GET", "/metrics", at: port)
        #expect(metrics["content-type"]?.hasPrefix("text/plain; version=0.0.4") == true)
        #expect(metrics.text.contains("weightstore_store_models 3\n"))
        for path in ["/", "/api/models", "/org/base/resolve/main/config.json", "/shards/x", "no", "/livez/x"] {
            #expect(try await server.ask("GET", path, at: port).status != 200, "\(path)")
        }
        #expect(try await server.ask("POST", "/metrics", at: port).status == 405)
        try await server.stop()
        await #expect(throws: Connection.Failure.self) { try await server.ask("GET", "/livez", at: port) }
    }

    @Test("it requires a token for the metrics if the server does, and names no model without one")
    func token() async throws {
        let (token, text) = try AccessToken.make(name: "prometheus", scope: .metrics, created: 1)
        let (server, port) = try await server { $0.tokens = [token] }
        #expect(try await server.ask("GET", "/livez", at: port).status == 200)
        #expect(try await server.ask("GET", "/readyz", at: port).status == 200)
        #expect(try await server.ask("GET", "/metrics", at: port).status == 401)
        #expect(try await server.ask("GET", "/metrics", ["Authorization": "Bearer \(text)"], at: port).status == 200)
    }

    @Test("it answers while the server accepts no connection, and all threads of tasks are busy")
    func busy() async throws {
        let (server, port) = try await server { $0.connections = 1 }
        try await onThread {
            // The server's only connection; a request shows that it was accepted.
            let first = try Connection(port: server.port)
            try first.send(TestServer.request("GET", "/livez"))
            #expect(try first.answer().status == 200)
            let end = DispatchSemaphore(value: 0)
            for _ in 0..<SystemCores.count { Task.detached { Self.wait(for: end) } }
            defer { for _ in 0..<SystemCores.count { end.signal() } }
            for path in ["/livez", "/readyz", "/metrics"] {
                let connection = try Connection(port: port)
                try connection.send(TestServer.request("GET", path))
                #expect(try connection.answer().status == 200, "\(path)")
            }
        }
    }

    /// Blocks a thread of the cooperative pool.
    private static func wait(for end: DispatchSemaphore) { end.wait() }

    @Test("the server is not ready with a full disk, with more damage than allowed, and without a readable catalog")
    func readiness() async throws {
        let (full, _) = try await server { $0.readiness.leastFreeBytes = .max }
        let answer = try await full.get("/readyz")
        #expect(answer.status == 503)
        #expect(try answer.object()["status"] as? String == "failing")
        #expect((try answer.object()["reasons"] as? [String])?.first?.contains("the disk has") == true)
        #expect(try await full.get("/livez").status == 200)

        let (damaged, port) = try await server { $0.readiness.mostDamaged = 0 }
        #expect(try await damaged.get("/readyz").status == 200)
        try await onThread {
            try damaged.store.catalog.write { db in
                let shards = try ShardTable.present(of: RevisionRow.find("org/base", db).id, verifiedBefore: nil, db)
                    .shards
                let first = try #require(try shards.first.flatMap { try ShardTable.find(id: $0, db) })
                try ShardTable.mark(first.digest, as: .missing, db)
            }
        }
        #expect(try await damaged.ask("GET", "/readyz", at: port).status == 503)
        #expect(try await damaged.metric("weightstore_store_shards_damaged") == 1)
        try await onThread {
            try damaged.store.catalog.write { db in
                try SettingTable.set(QuotaKind.weights.setting("quota", "bytes"), -1, db)
            }
        }
        let unreadable = try await damaged.get("/health")
        #expect(unreadable.status == 503)
        #expect(try unreadable.object()["reasons"] as? [String] == ["the catalog cannot be read"])
        #expect(damaged.log.lines.contains { $0.hasPrefix("error not ready: ") })
        #expect(try await damaged.get("/livez").status == 200)
    }

    @Test("it closes the connection of a client that keeps sending bytes of a request without end")
    func slowClient() async throws {
        let (server, port) = try await server()
        let isClosed = try await onThread {
            let connection = try Connection(port: port)
            try connection.send("GET /livez HTTP/1.1\r\nX: ")
            for _ in 0..<240 {
                usleep(250_000)
                do { try connection.send("x") } catch { return true }
            }
            return false
        }
        #expect(isClosed)
        #expect(try await server.ask("GET", "/livez", at: port).status == 200)
    }

    @Test("with a certificate it is encrypted, and the metrics have the end of the certificate")
    func certificate() async throws {
        let directory = try TemporaryDirectory()
        let authority = try CertificateAuthority(directory)
        let certificate = try authority.issue("server")
        // The server lives as long as the value.
        let (server, port) = try await server {
            $0.certificate = try ServerCertificate(certificate: certificate.chain, key: certificate.key)
        }
        defer { withExtendedLifetime(server) {} }
        let text = try await onThread {
            try ChildProcess.check(
                "curl", "-sS", "--cacert", authority.certificate, "https://localhost:\(port)/metrics")
        }
        let line = text.split(separator: "\n").first {
            $0.hasPrefix("weightstore_certificate_expiry_timestamp_seconds ")
        }
        let end = try #require(line.flatMap { Double($0.split(separator: " ")[1]) })
        #expect(end > Date.now.timeIntervalSince1970)
    }
}
