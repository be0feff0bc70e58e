import Foundation
import Glibc
import ModelFormats
import Server
import Synchronization
import TestSupport
import Testing
import WeightStore

/// The guarantees over plain http hold over https, too.
@Suite(.blocking)
struct TLSTests {
    private static let directory = try! TemporaryDirectory()
    private static let authority = Result { try CertificateAuthority(directory) }
    private let weights = "/org/base/resolve/main/model.safetensors"

    /// A server with a certificate that an authority between it and the trusted one has signed; or one without.
    private func server(encrypted: Bool = true, _ change: (inout ServerOptions) -> Void = { _ in }) async throws
        -> TestServer
    {
        var options = ServerOptions()
        change(&options)
        if encrypted {
            let id = UUID().uuidString
            let certificate = try Self.authority.get().intermediate("between-\(id)").issue("server-\(id)")
            options.certificate = try ServerCertificate(certificate: certificate.chain, key: certificate.key)
        }
        return try await TestServer(options)
    }

    private func curl(_ arguments: String...) async throws -> Tool.Result {
        let authority = try Self.authority.get()
        return try await onThread {
            try ChildProcess(["curl", "-s", "--cacert", authority.certificate] + arguments).result()
        }
    }

    private func url(_ server: TestServer, _ path: String, encrypted: Bool = true) -> String {
        "\(encrypted ? "https" : "http")://127.0.0.1:\(server.port)\(path)"
    }

    private func isResponsive(_ server: TestServer) async throws -> Bool {
        try await curl(url(server, "/org/base/resolve/main/config.json")).output
            == TestServer.base.others["config.json"]
    }

    @Test("files are served whole and in part, links between pages use https, and TLS before 1.2 is refused")
    func files() async throws {
        let server = try await server { $0.pageEntries = 1 }
        let bytes = try TestServer.base.file(TestServer.base.tensors)
        #expect(try await curl(url(server, weights)).bytes == bytes)
        #expect(
            try await curl("https://localhost:\(server.port)\(weights)", "-r", "1000000-2999999").bytes
                == Array(bytes[1_000_000..<3_000_000]))
        #expect(try await curl(url(server, weights), "--tls-max", "1.2", "-r", "5-9").bytes == Array(bytes[5..<10]))
        let page = try await curl(url(server, "/api/models"), "-i").output
        #expect(page.contains("HTTP/1.1 200") && page.contains("<https://127.0.0.1:\(server.port)/api/models?"))
        let old = try await onThread { [port = server.port] in
            try ChildProcess(
                ["openssl", "s_client", "-connect", "127.0.0.1:\(port)", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"])
                .result()
        }
        #expect(old.status != 0 && old.errors.contains("alert protocol version"))
    }

    @Test("a plain http request gets an answer that names https; other bytes close the connection")
    func plainHTTP() async throws {
        let server = try await server { $0.idleSeconds = 5 }
        #expect(try await server.get("/").status == 400)
        #expect(try await server.get(weights).text == "This port serves https only.\n")
        // Invalid, too long and incomplete records; and no byte at all.
        for text in [
            "\u{16}\u{3}\u{1}\u{0}\u{4}abcd", "\u{16}\u{3}\u{1}\u{7f}\u{7f}" + String(repeating: "a", count: 1 << 20),
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", "",
        ] {
            let connection = try await server.connect()
            try await onThread {
                try? connection.send(text)
                while try !connection.receive().isEmpty {}
            }
        }
        #expect(try await isResponsive(server))
    }

    @Test("a thousand connections without a TLS handshake do not delay other clients, and are closed in time")
    func idle() async throws {
        let server = try await server { $0.idleSeconds = 5 }
        try await server.checkIdleConnections(isResponsive: isResponsive)
    }

    @Test("a client that reads nothing is disconnected")
    func stalled() async throws {
        let server = try await server { $0.stallSeconds = 2 }
        let address = url(server, weights)
        let client = try await onThread { try SlowClient(address, pace: 0, trusting: try Self.authority.get()) }
        #expect(try await eventually { server.log.lines.contains { $0.contains("interrupted") } })
        #expect(try await isResponsive(server))
        withExtendedLifetime(client) {}
    }

    @Test(
        "a slow client receives the whole of a file that is being sent when the server is stopped",
        arguments: [false, true])
    func stopped(encrypted: Bool) async throws {
        let server = try await server(encrypted: encrypted) { $0.drainSeconds = 600 }
        let address = url(server, weights, encrypted: encrypted)
        let client = try await onThread {
            try SlowClient(address, pace: 1 << 20, trusting: encrypted ? try Self.authority.get() : nil)
        }
        try await server.stop()
        #expect(try await onThread { try client.received() } == TestServer.base.file(TestServer.base.tensors).count)
    }

    @Test("a client that reads nothing does not keep a server from ending", arguments: [false, true])
    func drained(encrypted: Bool) async throws {
        let server = try await server(encrypted: encrypted) {
            ($0.drainSeconds, $0.stallSeconds, $0.idleSeconds) = (1, 3600, 3600)
        }
        let address = url(server, weights, encrypted: encrypted)
        let client = try await onThread {
            try SlowClient(address, pace: 0, trusting: encrypted ? try Self.authority.get() : nil)
        }
        let isOver = Mutex(false)
        async let end: Void = {
            defer { isOver.withLock { $0 = true } }
            try await server.stop()
        }()
        #expect(try await eventually { isOver.withLock { $0 } })
        withExtendedLifetime(client) {}
        try await end
    }
}

/// `weightstore serve` with a certificate, as an operator runs it.
@Suite(.blocking)
struct TLSCommandTests {
    private let directory = try! TemporaryDirectory()

    private func tool(_ arguments: [String]) async throws -> Tool.Result {
        try await onThread { [directory] in try Tool(store: directory("store")).run(arguments) }
    }

    /// The served model, as `org/base`.
    private func importModel() async throws {
        try TestServer.base.write(to: directory("model"))
        #expect(try await tool(["import", directory("model"), "--name", "org/base"]).status == 0)
    }

    private func curl(_ url: String, trusting authority: CertificateAuthority, _ arguments: [String] = []) async throws
        -> Tool.Result
    {
        try await onThread {
            try ChildProcess(["curl", "-s", "--cacert", authority.certificate, url] + arguments).result()
        }
    }

    @Test("a renewed certificate is used without a restart, an unusable one is not; downloads continue")
    func renewal() async throws {
        try await importModel()
        let (first, second) = (
            try CertificateAuthority(directory, name: "first"), try CertificateAuthority(directory, name: "second")
        )
        let certificate = try first.issue("server")
        let server = try ServeProcess(directory("store"), certificate.arguments, log: directory("log"))
        let file = server.url + "/org/base/resolve/main/model.safetensors"
        #expect(try await curl(server.url + "/health", trusting: first).status == 0)
        let client = try await onThread { try SlowClient(file, pace: 1 << 18, trusting: first) }
        // The new certificate is written before its key.
        let renewed = try second.issue("renewed")
        for (from, to, says) in [
            (renewed.chain, certificate.chain, "\(certificate.key): unusable for https"),
            (renewed.key, certificate.key, "\(certificate.chain): renewed, valid until"),
        ] {
            #expect(!server.logText.contains(says))
            #expect(try await curl(server.url + "/health", trusting: first).status == 0)
            // In one step, as ACME clients do.
            try FileManager.default.copyItem(atPath: from, toPath: to + ".new")
            #expect(rename(to + ".new", to) == 0)
            #expect(try await eventually { server.logText.contains(says) })
        }
        #expect(try await curl(server.url + "/health", trusting: second).status == 0)
        #expect(try await curl(server.url + "/health", trusting: first).status == 60)
        try FileManager.default.removeItem(atPath: certificate.chain)
        #expect(
            try await eventually {
                server.logText.contains("\(certificate.chain): unusable for https: No such file")
            })
        #expect(try await curl(server.url + "/health", trusting: second).status == 0)
        #expect(try await onThread { try client.received() } == TestServer.base.file(TestServer.base.tensors).count)
        server.end()
    }

    @Test("after SIGTERM a running download by https completes")
    func stop() async throws {
        try await importModel()
        let authority = try CertificateAuthority(directory)
        let server = try ServeProcess(
            directory("store"), try authority.issue("server").arguments, log: directory("log"))
        let file = server.url + "/org/base/resolve/main/model.safetensors"
        let client = try await onThread { try SlowClient(file, pace: 2 << 20, trusting: authority) }
        server.signal(SIGTERM)
        let size = try TestServer.base.file(TestServer.base.tensors).count
        #expect(try await onThread { try client.received() } == size)
        #expect(try await eventually { server.logText.contains("model.safetensors 200 \(size) bytes") })
        server.end()
    }

    @Test("an unusable certificate is reported with its path and the reason")
    func refusals() async throws {
        try await importModel()
        let authority = try CertificateAuthority(directory)
        let (good, other) = (try authority.issue("good"), try authority.issue("other"))
        let (old, early) = (try authority.issue("old", clock: "-10d"), try authority.issue("early", clock: "+10d"))
        let text = try directory.write("no certificate", to: "text")
        let locked = try directory.write(
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n", to: "locked.key")
        let cases: [(chain: String, key: String, path: String, reason: String)] = [
            (directory("none"), good.key, directory("none"), "No such file"),
            (good.chain, directory("none"), directory("none"), "No such file"),
            (directory(""), good.key, directory(""), "Is a directory"),
            (text, good.key, text, "no valid PEM certificate"),
            (good.chain, text, text, "no valid PEM private key"), (good.chain, locked, locked, "has a passphrase"),
            (good.chain, other.key, other.key, "not the key of the first certificate in \(good.chain)"),
            (old.chain, old.key, old.chain, "expired on"), (early.chain, early.key, early.chain, "not valid before"),
        ]
        for (chain, key, path, reason) in cases {
            let result = try await tool(["serve", "--port", "0", "--tls-certificate", chain, "--tls-key", key])
            #expect(
                result.status == 6 && result.errors.hasPrefix("weightstore: \(path): ")
                    && result.errors.contains(reason), "\(result.errors)")
        }
        for option in ["--tls-certificate", "--tls-key"] {
            #expect(try await tool(["serve", option, good.chain]).status == 64)
        }
    }

    @Test("memory does not grow while a large file is sent to three clients by https")
    func memory() async throws {
        let writer = try SafetensorsWriter((0..<16).map { .init(name: "t\($0)", dtype: "U8", shape: [1 << 24]) })
        let file = try directory.write(writer.header, to: "large.safetensors")
        truncate(file, writer.header.count + (16 << 24))
        #expect(try await tool(["import", file, "--name", "large"]).status == 0)
        let authority = try CertificateAuthority(directory)
        let server = try ServeProcess(
            directory("store"), try authority.issue("server").arguments, log: directory("log"))
        #expect(try await curl(server.url + "/health", trusting: authority).status == 0)
        let before = try memory(server)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    let result = try await curl(
                        server.url + "/large/resolve/main/large.safetensors", trusting: authority,
                        ["-o", "/dev/null", "-w", "%{size_download}"])
                    #expect(result.output == "\(writer.header.count + (16 << 24))")
                }
            }
            try await group.waitForAll()
        }
        let after = try memory(server)
        #expect(after - before < 40_000, "\(before) kB before, \(after) kB after")
    }

    /// The peak resident memory, in kB.
    private func memory(_ server: ServeProcess) throws -> Int {
        let text = String(decoding: try contents("/proc/\(server.identifier)/status"), as: UTF8.self)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
        return try #require(line.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) })
    }
}
