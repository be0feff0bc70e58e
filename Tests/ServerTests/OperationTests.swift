import Server
import TestSupport
import Testing
import WeightStore

/// Metrics, logs and pages for operators.
@Suite(.blocking)
struct OperationTests {
    @Test("health and metrics answer")
    func answers() async throws {
        let server = try await TestServer()
        #expect(try await server.get("/health").object()["status"] as? String == "ok")
        _ = try await server.get("/org/base/resolve/main/config.json")
        _ = try await server.ask("PATCH", "/")
        let metrics = try await server.get("/metrics")
        #expect(metrics["content-type"]?.hasPrefix("text/plain; version=0.0.4") == true)
        let lines = metrics.text.split(separator: "\n")
        #expect(lines.contains("weightstore_http_requests_total{method=\"GET\",status=\"200\"} 2"))
        #expect(lines.contains("weightstore_http_requests_total{method=\"other\",status=\"405\"} 1"))
        let stats = try await onThread { try server.store.stats() }
        #expect(lines.contains("weightstore_store_bytes \(stats.stored)"))
        #expect(lines.contains("weightstore_store_shards \(stats.shards)"))
        for line in lines where !line.hasPrefix("#") {
            #expect(line.contains(/^[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? -?[0-9.e+-]+$/), "\(line)")
        }
    }

    @Test("tiers that are open, and what was counted in them, are in the metrics")
    func tiers() async throws {
        let server = try await TestServer()
        try await onThread {
            try server.store.open(.ram, TierOptions(budget: 1 << 30))
            for _ in 0..<2 { try server.store.revision("org/base").leaseBlocking(layer: 0, in: .ram).release() }
            server.store.flush()
        }
        let text = try await server.get("/metrics").text
        #expect(text.contains("weightstore_tier_budget_bytes{tier=\"ram\"} 1073741824"))
        let counts = ["hits_total", "misses_total", "load_seconds_count"].map { name in
            text.split(separator: "\n").first { $0.hasPrefix("weightstore_\(name){tier=\"ram\"}") }
                .flatMap { Int($0.split(separator: " ")[1]) }
        }
        let misses = try #require(counts[1])
        #expect(misses > 0 && counts == [misses, misses, misses])
    }

    @Test("a request's line has its id, which the response has, too, and the first byte and its source")
    func requestLine() async throws {
        let server = try await TestServer()
        let named = try await server.get("/org/base/resolve/main/model.safetensors", ["X-Request-Id": "abc-1"])
        #expect(named["x-request-id"] == "abc-1")
        let strange = try await server.get("/org/base/resolve/main/config.json", ["X-Request-Id": "a b"])
        let id = try #require(strange["x-request-id"])
        #expect(id.contains(/^[0-9a-f]{16}$/))
        let lines = server.log.lines
        #expect(lines.contains { $0.contains(/ms, first byte [0-9.]+ ms, stored, request abc-1$/) })
        #expect(lines.contains { $0.hasSuffix("request \(id)") })
    }

    @Test("the line of a request for evicted bytes names the origin that supplied them")
    func originOfBytes() async throws {
        let server = try await TestServer()
        try await onThread {
            for (name, path) in [("org/base", "base"), ("org/tuned", "tuned"), ("single", "base")] {
                _ = try server.store.addOrigin("file://\(server.directory(path))", to: name)
            }
            try server.store.evictBlocking(EvictionRequest(.downTo(0)))
        }
        let path = "/org/base/resolve/main/model.safetensors"
        #expect(try await server.get(path).status == 200)
        let origin = "fetched from directory \(server.directory("base"))"
        let tuned = "fetched from directory \(server.directory("tuned"))"
        #expect(
            try await eventually {
                server.log.lines.contains {
                    $0.contains("GET \(path) 200") && ($0.contains(origin) || $0.contains(tuned))
                }
            })
        #expect(try await server.get(path).status == 200)
        #expect(
            try await eventually {
                server.log.lines.contains { $0.contains("GET \(path) 200") && $0.contains("ms, stored, request") }
            })
    }

    @Test("a token for some models reads these alone, on every path, and its name is in the log")
    func models() async throws {
        let some = try ModelPatterns(["org/b*"], source: "test")
        let (token, text) = try AccessToken.make(name: "lab", scope: .read, models: some, created: 1)
        let (all, whole) = try AccessToken.make(name: "all", scope: .read, created: 1)
        var options = ServerOptions()
        let file = [token, all].compactMap(\.line).joined(separator: "\n")
        options.tokens = try AccessToken.all(in: file, source: "test")
        let server = try await TestServer(options)
        func status(_ path: String, _ text: String = text) async throws -> Int {
            try await server.get(path, ["Authorization": "Bearer \(text)"]).status
        }
        let names = try await server.get("/api/models", ["Authorization": "Bearer \(text)"]).list()
        #expect(names.map { $0["id"] as? String } == ["org/base"])
        let (own, other, manifests) = try await onThread {
            let own = Set(try server.store.revision("org/base").tensorEntries().compactMap(\.shard))
            let tuned = Set(try server.store.revision("org/tuned").tensorEntries().compactMap(\.shard))
            let digests = try ["org/base", "org/tuned"].map { try server.store.revision($0).digest }
            return (own, tuned.subtracting(own), digests)
        }
        for path in [
            "/api/models/NAME", "/api/models/NAME/revision/main", "/api/models/NAME/tree/main", "/api/models/NAME/refs",
            "/api/models/NAME/commits/main", "/api/models/NAME/auth-check", "/api/models/NAME/discussions",
            "/NAME/resolve/main/config.json", "/NAME/raw/main/config.json", "/api/weightstore/models/NAME/revisions",
        ] {
            #expect(try await status(path.replacing("NAME", with: "org/base")) == 200, "\(path)")
            #expect(try await status(path.replacing("NAME", with: "org/tuned")) == 404, "\(path)")
            #expect(try await status(path.replacing("NAME", with: "org/tuned"), whole) == 200, "\(path)")
        }
        #expect(try await status("/v2/org/tuned/manifests/latest") == 404)
        #expect(try await status("/v2/org/tuned/blobs/sha256:\(manifests[1].hex)") == 404)
        #expect(try await status("/shards/\(#require(own.first).hex)") == 200)
        #expect(try await status("/shards/\(#require(other.first).hex)") == 404)
        #expect(try await status("/shards/\(#require(other.first).hex)", whole) == 200)
        #expect(try await status("/manifests/\(manifests[0].hex)") == 200)
        #expect(try await status("/manifests/\(manifests[1].hex)") == 404)
        for path in ["/", "/metrics"] { #expect(try await status(path) == 403) }
        #expect(
            server.log.lines.contains {
                $0.contains("/org/base/resolve/main/config.json 200") && $0.contains("token lab,")
            })
        #expect(!server.log.lines.contains { $0.contains(text) })
    }

    @Test("a line is logged for each request, with no control characters")
    func log() async throws {
        let server = try await TestServer()
        _ = try await server.get("/org/base/resolve/main/model.safetensors", ["Range": "bytes=10-19"])
        _ = try await server.get("/nothing?token=geheim")
        _ = try await server.get("/\u{1B}[2J\u{80}")
        let lines = server.log.lines.filter { $0.hasPrefix("info 127.0.0.1") }
        #expect(lines.contains { $0.contains("GET /org/base/resolve/main/model.safetensors 206 10 bytes") })
        #expect(lines.contains { $0.contains("GET /nothing 404") })
        #expect(!lines.contains { $0.contains("geheim") || $0.unicodeScalars.contains { $0.value < 0x20 } })
    }

    @Test("every path but /health requires the token, and the token is never logged")
    func token() async throws {
        var options = ServerOptions()
        options.tokens = [try AccessToken(" s3cret-Token\n", source: "test")]
        let server = try await TestServer(options)
        let paths = [
            "/", "/metrics", "/api/models", "/api/models/org/base", "/org/base/resolve/main/config.json",
            "/no/such/resolve/main/x", "/shards/\(String(repeating: "0", count: 64))", "/api/whoami-v2",
        ]
        for path in paths {
            let none = try await server.get(path)
            #expect(none.status == 401)
            #expect(none["www-authenticate"]?.hasPrefix("Bearer") == true)
            for wrong in ["Bearer s3cret-token", "Bearer", "Bearer ", "s3cret-Token", "Token s3cret-Token", "Basic !"] {
                #expect(try await server.get(path, ["Authorization": wrong]).status == 401)
            }
        }
        #expect(try await server.get("/health").status == 200)
        // "user:s3cret-Token"
        for right in ["Bearer s3cret-Token", "bearer  s3cret-Token", "Basic dXNlcjpzM2NyZXQtVG9rZW4="] {
            #expect(try await server.get("/api/models", ["Authorization": right]).status == 200)
            let shard = try await onThread { try server.store.revision("org/base").tensorEntries()[0].shard! }
            #expect(
                try await server.get("/shards/\(shard)", ["Authorization": right])["cache-control"]?.hasPrefix(
                    "private") == true)
        }
        #expect(!server.log.lines.contains { $0.contains("s3cret") || $0.contains("dXNlc") })
    }

    @Test("a token for metrics reads /metrics and /readyz only, and one without a scope reads everything")
    func scopes() async throws {
        let (reader, text) = try AccessToken.make(name: "reader", scope: .read, created: 1)
        let (metrics, other) = try AccessToken.make(name: "prometheus", scope: .metrics, created: 1)
        let file = "old-Token\n" + [reader, metrics].compactMap(\.line).map { $0 + "\n" }.joined()
        #expect(!file.contains(text) && !file.contains(other))
        var options = ServerOptions()
        options.tokens = try AccessToken.all(in: file, source: "test")
        let server = try await TestServer(options)
        let paths = [
            "/", "/api/models", "/org/base/resolve/main/config.json", "/v2/org/base/manifests/latest", "/api/whoami-v2",
            "/datasets/a/b", "/shards/\(String(repeating: "0", count: 64))",
        ]
        for path in paths {
            #expect(try await server.get(path, ["Authorization": "Bearer \(other)"]).status == 403)
            for token in [text, "old-Token"] {
                #expect(try await server.get(path, ["Authorization": "Bearer \(token)"]).status != 403)
                #expect(try await server.get(path, ["Authorization": "Bearer \(token)"]).status != 401)
            }
        }
        for token in [text, other, "old-Token"] {
            #expect(try await server.get("/metrics", ["Authorization": "Bearer \(token)"]).status == 200)
            #expect(try await server.get("/health", ["Authorization": "Bearer \(token)"]).status == 200)
        }
    }

    @Test("a new token is one that llama.cpp and the Hub's client send")
    func form() throws {
        let texts = try (0..<20).map { try AccessToken.make(name: "t\($0)", scope: .read, created: 1).text }
        #expect(Set(texts).count == texts.count)
        for text in texts { #expect(text.contains(/^hf_[A-Za-z0-9]{34,253}$/)) }
    }

    @Test(
        "a line of a token file that is no token is refused, and is not in the message",
        arguments: [
            "two words", "sha256:00 name read", "sha256:\(String(repeating: "0", count: 64)) name write",
            // It would be a token whose text others can read.
            "sha256:\(String(repeating: "0", count: 64))",
            "sha256:\(String(repeating: "0", count: 64)) name",
            "sha256:\(String(repeating: "0", count: 64)) na/me read",
            "sha256:\(String(repeating: "0", count: 64)) name read soon",
            "sha256:\(String(repeating: "0", count: 64)) name read 1 org/*,",
            "sha256:\(String(repeating: "0", count: 64)) name read 1 org/* more",
            // It would read all models.
            "sha256:\(String(repeating: "0", count: 64)) name metrics 1 org/*",
        ])
    func badLines(line: String) {
        let error = #expect(throws: ServerError.self) { try AccessToken.all(in: "fine\n\n\(line)\n", source: "here") }
        #expect(error?.description.contains("here, line 3") == true && error?.description.contains(line) == false)
    }

    @Test("an invalid token is refused, and is not in the message")
    func badTokens() {
        for text in ["", "  \n", "a b", "ä"] {
            let error = #expect(throws: ServerError.self) { try AccessToken(text, source: "here") }
            #expect(error?.description.contains("here") == true)
            #expect(text.isEmpty || error?.description.contains(text) == false)
        }
    }
}
