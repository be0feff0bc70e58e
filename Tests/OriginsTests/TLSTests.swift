import Foundation
import TestSupport
import Testing
import WeightStore

/// Our client, as a user runs it, and our server, by https.
@Suite(.blocking) struct TLSTests {
    private let directory = try! TemporaryDirectory()
    private let model = TestModel(layers: 2)

    /// Serves `org/model`.
    private func serve(_ certificate: CertificateAuthority.Certificate?, clock: String? = nil) throws -> ServeProcess {
        try model.write(to: directory("model"))
        try Tool(store: directory("served"))("import", directory("model"), "--name", "org/model")
        return try ServeProcess(directory("served"), certificate?.arguments ?? [], clock: clock, log: directory("log"))
    }

    private func pull(_ name: String, from url: String, _ environment: [String: String]) throws -> Tool.Result {
        var tool = Tool(store: directory("store-\(UUID().uuidString)"))
        tool.environment = ["HF_TOKEN": "", "HOME": directory("")].merging(environment) { $1 }
        let result = try tool("pull", name, "--origin", url)
        if result.status == 0 {
            #expect(try tool("cat", "org/model", "model.safetensors").bytes == model.file(model.tensors))
        }
        return result
    }

    @Test(
        "a hub and a peer are reached by https, by name and by address, if a file or a directory names the authority"
    )
    func trusted() throws {
        let authority = try CertificateAuthority(directory)
        let server = try serve(try authority.intermediate("between").issue("server"))
        let digest = try Store(at: directory("served")).revision("org/model").digest
        try FileManager.default.createDirectory(atPath: directory("authorities"), withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: authority.certificate, toPath: directory("authorities/ours.pem"))
        for environment in [authority.environment, ["SSL_CERT_DIR": "/nowhere:\(directory("authorities"))"]] {
            for host in ["127.0.0.1", "localhost"] {
                let hub = try pull("org/model", from: "https://\(host):\(server.port)", environment)
                #expect(hub.status == 0, "\(hub.errors)")
                let peer = try pull("org/model@\(digest)", from: "peer+https://\(host):\(server.port)", environment)
                #expect(peer.status == 0, "\(peer.errors)")
            }
        }
    }

    @Test(
        "no request is sent to an untrusted server, and it is not tried again; the error names it and the reason",
        arguments: [
            (
                "untrusted",
                "its certificate is not signed by an authority that this machine trusts; to trust another authority, set SSL_CERT_FILE to its certificate"
            ),
            ("old", "its certificate expired on"), ("early", "its certificate is not valid before"),
            ("elsewhere", "its certificate is not for 127.0.0.1"),
            ("plain", "the server does not speak TLS on this port"),
        ])
    func distrusted(kind: String, reason: String) throws {
        let authority = try CertificateAuthority(directory)
        let server =
            switch kind {
            case "untrusted": try serve(try CertificateAuthority(directory, name: "untrusted").issue("server"))
            // The server's clock is wrong by as much: it would not start with such a certificate otherwise.
            case "old": try serve(try authority.issue("server", clock: "-10d"), clock: "-10d")
            case "early": try serve(try authority.issue("server", clock: "+10d"), clock: "+10d")
            case "elsewhere": try serve(try authority.issue("server", for: "DNS:elsewhere.test"))
            default: try serve(nil)
            }
        let connections = 20
        let proxy = try FaultProxy(to: server.port, Array(repeating: .flip(at: .max), count: connections))
        for url in ["https://127.0.0.1:\(proxy.port)", "peer+https://127.0.0.1:\(proxy.port)"] {
            let name = url.hasPrefix("peer") ? "org/model@" + String(repeating: "0", count: 64) : "org/model"
            let result = try pull(name, from: url, authority.environment)
            #expect(
                result.status == 8 && result.errors.contains("https://127.0.0.1:\(proxy.port)/"), "\(result.errors)")
            #expect(result.errors.contains("not trusted: " + reason), "\(result.errors)")
        }
        // Each server received one connection, and one more that reads its certificate.
        #expect(proxy.left >= connections - 4)
        #expect(!server.logText.contains("GET"))
    }

    @Test("a redirect from https to http is refused: neither the request nor its token is sent there")
    func downgrade() throws {
        let authority = try CertificateAuthority(directory)
        let certificate = try authority.issue("server")
        try model.write(to: directory("hub/org/model"))
        let hub = try HubServer(directory("hub"))
        let server = try ChildProcess.daemon([
            "/usr/bin/env", "python3", "-c",
            """
            import http.server, ssl, sys
            class Handler(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    print(self.headers.get("Authorization"), flush=True)
                    self.send_response(302)
                    self.send_header("Location", sys.argv[1] + self.path)
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                def log_message(self, *arguments): pass
            server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(sys.argv[2], sys.argv[3])
            server.socket = context.wrap_socket(server.socket, server_side=True)
            print(server.server_port, flush=True)
            server.serve_forever()
            """, hub.url, certificate.chain, certificate.key,
        ])
        let url = "https://127.0.0.1:\(try server.line())"
        let environment = authority.environment.merging(["HF_TOKEN": "hf_topsecret"]) { $1 }
        let result = try pull("org/model", from: url, environment)
        #expect(result.status == 8 && result.errors.contains("less secure"), "\(result.errors)")
        #expect(try server.line() == "Bearer hf_topsecret")
        #expect(try hub.requests().isEmpty)
    }

    @Test("an unreadable file of authorities is reported")
    func unreadable() throws {
        let authority = try CertificateAuthority(directory)
        let server = try serve(try authority.issue("server"))
        for file in [directory("none"), authority.certificate.replacingOccurrences(of: ".pem", with: ".key")] {
            let result = try pull("org/model", from: server.url, ["SSL_CERT_FILE": file])
            #expect(result.status == 6 && result.errors.contains("SSL_CERT_FILE=\(file)"), "\(result.errors)")
        }
    }
}
