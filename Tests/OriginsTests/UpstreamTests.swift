import Foundation
import TestSupport
import Testing
import WeightStore

/// `serve --upstream` in front of a hub whose refs move, that stalls, refuses, and goes down.
@Suite(.blocking) struct UpstreamTests {
    private struct Answer {
        let status: Int
        /// In small letters.
        let head: String
        let body: [UInt8]

        func commit() throws -> String? {
            (try JSONSerialization.jsonObject(with: Data(body)) as? [String: Any])?["sha"] as? String
        }
    }

    private func get(_ url: String, _ arguments: [String] = []) throws -> Answer {
        let files = try TemporaryDirectory()
        let result = try ChildProcess.run(["curl", "-s", "--max-time", "300", "-D", files("head")] + arguments + [url])
        let head = String(decoding: try contents(files("head")), as: UTF8.self).lowercased()
        let status = head.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        return Answer(status: status ?? 0, head: head, body: result.bytes)
    }

    /// The sum of the samples of a metric.
    private func metric(_ name: String, of server: ServeProcess) throws -> Int {
        String(decoding: try get("\(server.url)/metrics").body, as: UTF8.self).split(separator: "\n")
            .filter { $0.hasPrefix(name) }.reduce(0) { $0 + (Int($1.split(separator: " ").last ?? "") ?? 0) }
    }

    private func serve(_ fixture: HubFixture, _ arguments: [String] = []) throws -> ServeProcess {
        try ServeProcess(
            fixture.directory("middle"), ["--upstream", fixture.hub.url, "--quiet"] + arguments,
            log: fixture.directory("log"))
    }

    @Test(
        "a ref that moves upstream moves behind it; while the upstream is down, the stored commit is served, with a warning and a metric"
    )
    func moving() throws {
        let fixture = try HubFixture()
        let next = fixture.model.tuned(seed: 5)
        try next.write(to: fixture.directory("hub/org/next"))
        let server = try serve(fixture, ["--revalidate", "1s"])
        let main = "\(server.url)/api/models/org/model/revision/main"
        func serves(_ commit: String) throws -> Bool { try get(main).commit() == commit }
        let first = try #require(try get(main).commit())
        // A digest is no ref, so it is not compared.
        let shown = try fixture.tool("middle").run(["show", "org/model@main", "--json"]).object()
        let digest = try #require((shown["revision"] as? [String: Any])?["digest"] as? String).prefix(50)
        #expect(try get("\(server.url)/api/models/org/model/revision/\(digest)").status == 200)
        #expect(try !fixture.hub.requests().contains { $0.path.contains(digest) })
        // The hub gives an entity tag, and later comparisons send it.
        #expect(try blockUntil { try serves(first) && fixture.hub.requests().contains { $0.tag != nil } })

        try fixture.hub.set(targets: ["org/model": "org/next"])
        let second = try #require(try get("\(fixture.hub.url)/api/models/org/model/revision/main").commit())
        #expect(second != first)
        #expect(try blockUntil { try serves(second) })
        let file = "\(server.url)/org/model/resolve/main/model.safetensors"
        #expect(try get(file).body == contents(fixture.directory("hub/org/next/model.safetensors")))
        // The commit that was main is still there.
        #expect(try get("\(server.url)/org/model/resolve/\(first)/config.json").status == 200)

        try fixture.hub.set([.init("down", "", times: 1_000_000)], targets: ["org/model": "org/next"])
        var isServed = true
        let isCounted = try blockUntil {
            isServed = try serves(second)
            return try !isServed || metric("weightstore_upstream_stale_requests_total", of: server) > 0
        }
        #expect(isServed && isCounted)
        #expect(server.logText.contains("was not compared with the upstream"))
        #expect(try get(file).body == contents(fixture.directory("hub/org/next/model.safetensors")))

        try fixture.hub.set()
        #expect(try blockUntil { try serves(first) })
    }

    @Test("a ref of a model that was imported from elsewhere does not follow the upstream")
    func local() throws {
        let fixture = try HubFixture()
        try fixture.model.tuned(seed: 5).write(to: fixture.directory("own"))
        #expect(
            try fixture.tool("middle").run(["import", fixture.directory("own"), "--name", "org/model"]).status == 0)
        let server = try serve(fixture, ["--revalidate", "1s"])
        let file = try get("\(server.url)/org/model/resolve/main/model.safetensors")
        #expect(try file.body == contents(fixture.directory("own/model.safetensors")))
        #expect(try fixture.hub.requests().isEmpty)
    }

    @Test("main without that ref is the upstream's, and the last version only if the upstream does not name one")
    func unnamed() throws {
        let fixture = try HubFixture()
        try fixture.model.tuned(seed: 5).write(to: fixture.directory("own"))
        let imported = try fixture.tool("middle").run([
            "import", fixture.directory("own"), "--name", "org/model", "--ref", "own",
        ])
        #expect(imported.status == 0, "\(imported.errors)")
        try fixture.hub.set([.init("down", "", times: 1_000_000)])
        let server = try serve(fixture, ["--revalidate", "1s"])
        let file = "\(server.url)/org/model/resolve/main/model.safetensors"
        let own = try get(file)
        #expect(try own.body == contents(fixture.directory("own/model.safetensors")))
        #expect(own.head.contains("x-weightstore-version: ~1"), "\(own.head)")
        try fixture.hub.set()
        #expect(try blockUntil { try get(file).body == fixture.file() })
        #expect(try !get(file).head.contains("x-weightstore-version"))
    }

    @Test("the manifest of a GGUF file whose bytes are at the upstream is made from its header, and the file is served")
    func registry() throws {
        let fixture = try HubFixture()
        // Large enough for LFS, so that the pull of the list does not fetch it.
        let bytes = SmallGGUF.bytes(type: 15, elements: 1 << 16)
        try fixture.directory.write(bytes, to: "hub/org/gguf/Tiny-Q4_K_M.gguf")
        let server = try serve(fixture)
        let digest = bytes.withUnsafeBytes { ContentDigest(of: $0) }.hex
        #expect(try get("\(server.url)/api/models/org/gguf").status == 200)
        // A blob that no manifest has is not searched at the upstream.
        let requests = try fixture.hub.requests().count
        let none = String(repeating: "0", count: 64)
        #expect(try get("\(server.url)/v2/org/gguf/blobs/sha256:\(none)").status == 404)
        #expect(try fixture.hub.requests().count == requests)
        let manifest = try get("\(server.url)/v2/org/gguf/manifests/latest")
        #expect(manifest.status == 200, "\(manifest.head)")
        #expect(String(decoding: manifest.body, as: UTF8.self).contains("sha256:\(digest)"))
        #expect(try get("\(server.url)/v2/org/gguf/blobs/sha256:\(digest)").body == bytes)
    }

    @Test("clients of a stalled file delay no other file, and the upstream's requests end with them")
    func stalled() throws {
        let fixture = try HubFixture()
        try fixture.model.tuned(seed: 5).write(to: fixture.directory("own"))
        #expect(
            try fixture.tool("middle").run(["import", fixture.directory("own"), "--name", "own/model"]).status == 0)
        let server = try serve(fixture)
        #expect(try get("\(server.url)/api/models/org/model/revision/main").status == 200)
        try fixture.hub.set([.init("hold", "^/org/model/model.safetensors", times: 1_000_000)])
        // Each requests another range.
        let size = try fixture.file().count
        let clients = try ChildProcess.daemon([
            "/usr/bin/env", "python3", "-c",
            """
            import socket, sys
            port, size = int(sys.argv[1]), int(sys.argv[2])
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(40)]
            for number, client in enumerate(clients):
                start = size // 2 + number * size // 100
                path = "/org/model/resolve/main/model.safetensors"
                head = [f"GET {path} HTTP/1.1", "Host: x", f"Range: bytes={start}-{start + 99}", "", ""]
                client.sendall("\\r\\n".join(head).encode())
            print("sent", flush=True)
            sys.stdin.read()
            """, "\(server.port)", "\(size)",
        ])
        _ = try clients.line()
        #expect(try blockUntil { try metric("weightstore_fetches_waiting", of: server) == 36 })
        #expect(try metric("weightstore_fetches_running", of: server) == 4)
        for path in ["config.json", "model.safetensors"] {
            let answer = try get("\(server.url)/own/model/resolve/main/\(path)")
            #expect(try answer.body == contents(fixture.directory("own/\(path)")))
        }
        // Nothing of the stalled file has ended meanwhile.
        #expect(try metric("weightstore_fetches_running", of: server) == 4)
        #expect(try fixture.hub.requests().contains { $0.place == "cdn" && !$0.gone })

        clients.signal(SIGKILL)
        #expect(
            try blockUntil {
                let requests = try fixture.hub.requests().filter { $0.place == "cdn" }
                return try metric("weightstore_fetches_running", of: server) == 0 && requests.allSatisfy(\.gone)
            })
        #expect(try blockUntil { try metric("weightstore_fetches_cancelled_total", of: server) == 40 })
        #expect(try metric("weightstore_fetches_waiting", of: server) == 0)
        // What they had begun can be fetched.
        try fixture.hub.set()
        #expect(try get("\(server.url)/org/model/resolve/main/model.safetensors").body == fixture.file())
    }

    private struct Refusal {
        let status: Int
        var code: String?
        var message: String?
    }

    @Test("what the upstream refuses is answered at once with its status, code and message, and many requests are few")
    func refusals() throws {
        let fixture = try HubFixture()
        let server = try serve(fixture)
        let refusals = [
            Refusal(status: 401, message: "Invalid username or password."),
            Refusal(status: 401, code: "RepoNotFound"),
            Refusal(status: 403, code: "GatedRepo", message: "Access to the model is restricted."),
            Refusal(status: 404, code: "RepoNotFound"),
            Refusal(status: 404, code: "RevisionNotFound"),
        ]
        for (number, refusal) in refusals.enumerated() {
            var fault = HubServer.Fault("status", "^/api/models/org/case", times: 1_000_000)
            fault.status = refusal.status
            fault.headers = [:]
            fault.headers?["X-Error-Code"] = refusal.code
            fault.headers?["X-Error-Message"] = refusal.message
            try fixture.hub.set([fault])
            let before = try metric("weightstore_upstream_remembered_total", of: server)
            let model = "org/case\(number)"
            var requests = 0
            for (path, arguments) in [
                ("/api/models/\(model)", []), ("/api/models/\(model)/revision/main", []),
                ("/api/models/\(model)/tree/main", []), ("/\(model)/resolve/main/config.json", []),
                ("/\(model)/resolve/main/config.json", ["-I"]),
            ] as [(String, [String])] {
                requests += 1
                let answer = try get(server.url + path, arguments)
                #expect(answer.status == refusal.status, "\(path): \(answer.head)")
                #expect(!answer.head.contains("retry-after"))
                if let code = refusal.code {
                    #expect(answer.head.contains("x-error-code: \(code.lowercased())"), "\(answer.head)")
                } else {
                    #expect(!answer.head.contains("x-error-code"))
                }
                if let message = refusal.message {
                    #expect(answer.head.contains("x-error-message: \(message.lowercased())"), "\(answer.head)")
                }
            }
            let remembered = try metric("weightstore_upstream_remembered_total", of: server) - before
            #expect(try remembered > 0 && fixture.hub.requests().count + remembered == requests)
        }
    }
}
