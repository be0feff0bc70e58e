import Foundation
import TestSupport
import Testing
import WeightStore
import WireFormats
@testable import Origins

/// Connections through proxies. The host `hub.invalid` does not exist: only the proxy of the tests reaches it.
@Suite(.blocking) struct ProxyTests {
    @Test("a hub is reached through http_proxy with its login; a rejected login is not tried again, and not shown")
    func hub() throws {
        let fixture = try HubFixture()
        let proxy = try ConnectProxy(fixture.directory, "--login", "me:p@ss")
        let url = "http://hub.invalid:\(fixture.hub.port)"
        var tool = fixture.tool()
        tool.environment.merge(ConnectProxy.none) { $1 }
        tool.environment["http_proxy"] = "http://me:topsecret@127.0.0.1:\(proxy.port)"
        let refused = try tool("pull", "org/model", "--origin", url)
        #expect(refused.status == 9 && !refused.errors.contains("topsecret"), "\(refused.errors)")
        #expect(
            refused.errors.contains("the proxy http://127.0.0.1:\(proxy.port) rejects the login"), "\(refused.errors)")
        #expect(try (1..<4).contains(proxy.targets().count), "it is not tried again")
        tool.environment["http_proxy"] = "http://me:p%40ss@127.0.0.1:\(proxy.port)"
        let pulled = try tool("pull", "org/model", "--origin", url)
        #expect(pulled.status == 0, "\(pulled.errors)")
        #expect(try tool("cat", "org/model", "model.safetensors").bytes == fixture.file())
        #expect(try Set(proxy.targets()) == ["refused", "hub.invalid:\(fixture.hub.port)"])
    }

    @Test(
        "a hub and a peer by https are reached through an HTTP proxy and through SOCKS; TLS ends at the server",
        arguments: [("https_proxy", "", [String]()), ("ALL_PROXY", "socks5h://", ["--socks"])])
    func encrypted(variable: String, scheme: String, options: [String]) throws {
        let directory = try TemporaryDirectory()
        try TestModel().write(to: directory("model"))
        try Tool(store: directory("served"))("import", directory("model"), "--name", "org/model")
        let authority = try CertificateAuthority(directory)
        let certificate = try authority.issue("server", for: "DNS:hub.invalid")
        let server = try ServeProcess(directory("served"), certificate.arguments, log: directory("log"))
        let proxy = try options.isEmpty ? ConnectProxy(directory) : ConnectProxy(directory, "--socks")
        let digest = try Store(at: directory("served")).revision("org/model").digest
        for (name, place) in [("org/model", "https"), ("org/model@\(digest)", "peer+https")] {
            var tool = Tool(store: directory("store-\(place)"))
            tool.environment = ["HF_TOKEN": "", "HOME": directory("")].merging(authority.environment) { $1 }
            tool.environment.merge(ConnectProxy.none) { $1 }
            tool.environment[variable] = "\(scheme)127.0.0.1:\(proxy.port)"
            let result = try tool("pull", name, "--origin", "\(place)://hub.invalid:\(server.port)")
            #expect(result.status == 0, "\(place): \(result.errors)")
            #expect(
                try tool("cat", "org/model", "model.safetensors").bytes
                    == contents(directory("model/model.safetensors")))
        }
        #expect(try Set(proxy.targets()) == ["hub.invalid:\(server.port)"])
    }

    @Test("a server reaches its upstream through the proxy")
    func upstream() throws {
        let fixture = try HubFixture()
        let proxy = try ConnectProxy(fixture.directory)
        let environment = ConnectProxy.none.merging([
            "http_proxy": "http://127.0.0.1:\(proxy.port)", "HF_TOKEN": "", "HOME": fixture.directory(""),
        ]) { $1 }
        let server = try ChildProcess.daemon(
            ["/usr/bin/env"] + environment.map { "\($0.key)=\($0.value)" } + [
                Tool.path, "serve", "--port", "0", "--store", fixture.directory("store"),
                "--upstream", "http://hub.invalid:\(fixture.hub.port)",
            ])
        let url = try server.line()
        #expect(
            try Array(HTTP.get("\(url)/org/model/resolve/main/config.json")) == fixture.file("config.json"))
        #expect(try proxy.targets().contains("hub.invalid:\(fixture.hub.port)"))
    }

    @Test("a bucket is reached through the proxy")
    func bucket() throws {
        let directory = try TemporaryDirectory()
        let server = try FixedServer("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        let proxy = try ConnectProxy(directory)
        var options = TransportOptions()
        options.allowsPlainHTTP = true
        options.proxies = ProxySettings(environment: ["http_proxy": "http://127.0.0.1:\(proxy.port)"])
        let bucket = try S3Bucket(
            "s3://b/p?endpoint=http://store.invalid:\(server.port)&style=path", options: options,
            environment: ["AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"])
        try bucket.list("shards/") { _ in }
        #expect(try proxy.targets() == ["store.invalid:\(server.port)"])
    }

    /// The error of a request to `http://hub.invalid`, without its URL.
    private func failure(_ environment: [String: String]) throws -> String {
        var options = TransportOptions()
        options.attempts = 1
        options.proxies = ProxySettings(environment: environment)
        let address = try #require(Address("http://hub.invalid/x"))
        do {
            _ = try Transport(options).collect(
                .init(what: "it", request: { _ in Transport.Request(address: address) }, bytes: nil), limit: 100)
            return "no error"
        } catch let error as FetchError {
            switch error {
            case .disconnected(_, let reason, _), .badCredentials(_, let reason): return reason
            case .unusable(let url, let reason): return "\(url): \(reason)"
            default: return "\(error)"
            }
        }
    }

    @Test("errors name the proxy without its login, and its setting without its value")
    func errors() throws {
        let directory = try TemporaryDirectory()
        let denying = try ConnectProxy(directory, "--status", "503")
        let locked = try ConnectProxy(directory, "--login", "a:b")
        let (first, second) = ("http://127.0.0.1:\(denying.port)", "http://127.0.0.1:\(locked.port)")
        #expect(try failure(["http_proxy": first]) == "the proxy \(first) did not open a connection")
        #expect(try failure(["all_proxy": second]).hasPrefix("the proxy \(second) requires a login; "))
        // Reserved, and no server listens.
        let closed = try FreePort()
        #expect(
            try failure(["http_proxy": "u:topsecret@127.0.0.1:\(closed.number)"])
                == "cannot connect to the proxy http://127.0.0.1:\(closed.number) (Connection refused)")
        let unusable = try failure(["HTTP_PROXY": "ftp://u:topsecret@h"])
        #expect(unusable == "HTTP_PROXY: unsupported scheme of a proxy; supported: http, socks5, socks5h")
    }

    @Test(
        "lower case precedes upper case, an empty value is not set, and this machine is reached directly",
        arguments: [
            ([:], "http://h", nil), (["http_proxy": "a:1"], "http://h", "http://a:1"),
            (["http_proxy": "a:1"], "https://h", nil), (["HTTPS_PROXY": "a:1"], "https://h", "http://a:1"),
            (["https_proxy": "a:1", "HTTPS_PROXY": "b:2"], "https://h", "http://a:1"),
            (["https_proxy": "", "HTTPS_PROXY": "b:2"], "https://h", "http://b:2"),
            (["all_proxy": "socks5://a", "http_proxy": "b"], "https://h", "socks5h://a:1080"),
            (["all_proxy": "socks5://a", "http_proxy": "b"], "http://h", "http://b:80"),
            (["HTTP_PROXY": "a:1"], "http://h", "http://a:1"),
            (["HTTP_PROXY": "a:1", "REQUEST_METHOD": "GET"], "http://h", nil),
            (["http_proxy": "a:1", "REQUEST_METHOD": "GET"], "http://h", "http://a:1"),
            (["all_proxy": "a:1"], "http://localhost:8", nil), (["all_proxy": "a:1"], "https://127.0.0.2", nil),
            (["all_proxy": "a:1"], "http://[::1]:8", nil), (["all_proxy": "a:1", "no_proxy": "*"], "http://h", nil),
            (["all_proxy": "a:1", "NO_PROXY": "h:80"], "http://h", nil),
            (["all_proxy": "a:1", "NO_PROXY": "h:80"], "https://h", "http://a:1"),
            (["all_proxy": "a:1", "no_proxy": "", "NO_PROXY": "h"], "https://h", nil),
        ] as [([String: String], String, String?)])
    func variables(environment: [String: String], url: String, proxy: String?) throws {
        let address = try #require(Address(url))
        #expect(try ProxySettings(environment: environment).server(for: address)?.name == proxy)
    }
}
