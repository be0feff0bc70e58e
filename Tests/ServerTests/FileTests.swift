import Foundation
import TestSupport
import Testing
import WeightStore

/// Files, served whole, in part, or not at all.
@Suite(.blocking)
struct FileTests {
    private let weights = "/org/base/resolve/main/model.safetensors"

    private func original(_ name: String) throws -> [UInt8] {
        let base = TestServer.base
        if let text = base.others[name] { return Array(text.utf8) }
        return try base.file(base.tensors)
    }

    @Test("every file is served as it was imported, at each name of its revision")
    func whole() async throws {
        let server = try await TestServer.shared.value
        let info = try await onThread { try server.store.revisions(of: "org/base")[0] }
        for name in ["config.json", "tokenizer/vocab.txt", "model.safetensors"] {
            for revision in ["main", "prod", "v1", info.commit, info.digest.hex] {
                let answer = try await server.get("/org/base/resolve/\(revision)/\(name)")
                #expect(answer.status == 200)
                #expect(try answer.body == original(name), "\(revision) \(name)")
                #expect(answer["x-repo-commit"] == info.commit)
                #expect(answer["content-length"] == "\(answer.body.count)")
                #expect(answer["accept-ranges"] == "bytes")
            }
        }
        #expect(try await server.get("/single/resolve/main/config.json").body == original("config.json"))
    }

    @Test("small files are named as git names them, large ones by their SHA-256, as in LFS")
    func names() async throws {
        let server = try await TestServer.shared.value
        // git hash-object
        let vocabulary = try await server.ask("HEAD", "/org/base/resolve/main/tokenizer/vocab.txt")
        #expect(vocabulary["etag"] == "\"de980441c3ab03a8c07dda1ad27b8a11f39deb1e\"")
        #expect(vocabulary["x-linked-etag"] == nil)
        let head = try await server.ask("HEAD", weights)
        let digest = try await onThread {
            try server.store.revision("org/base").files().first { $0.path == "model.safetensors" }!
        }
        #expect(head["etag"] == "\"\(digest.digest)\"")
        #expect(head["x-linked-etag"] == "\"\(digest.digest)\"")
        #expect(head["x-linked-size"] == "\(digest.bytes)")
        #expect(head["content-length"] == "\(digest.bytes)")
        #expect(head.body.isEmpty)
    }

    @Test("any range gives the bytes that the file has there")
    func ranges() async throws {
        let server = try await TestServer.shared.value
        let bytes = try original("model.safetensors")
        let connection = try await server.connect()
        var random = Random(seed: 11)
        for round in 0..<150 {
            let first = Int.random(in: 0..<bytes.count, using: &random)
            // Short ones, long ones over many shards, and beyond the end.
            let length = Int.random(in: 1...[100, 100_000, bytes.count][round % 3], using: &random)
            let field = round % 5 == 0 ? "bytes=-\(length)" : "bytes=\(first)-\(first + length - 1)"
            let range =
                round % 5 == 0
                ? max(bytes.count - length, 0)..<bytes.count : first..<min(first + length, bytes.count)
            let answer = try await onThread { [weights] in
                try connection.send(TestServer.request("GET", weights, ["Range": field]))
                return try connection.answer()
            }
            #expect(answer.status == 206)
            #expect(answer["content-range"] == "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(bytes.count)")
            #expect(answer.body == Array(bytes[range]), "\(field)")
        }
    }

    @Test("a file that the client already has is not sent again")
    func conditional() async throws {
        let server = try await TestServer.shared.value
        let tag = try #require(try await server.ask("HEAD", weights)["etag"])
        let same = try await server.get(weights, ["If-None-Match": tag])
        #expect(same.status == 304)
        #expect(same["etag"] == tag && same["x-repo-commit"] != nil && same.body.isEmpty)
        let bytes = try original("model.safetensors")
        let part = try await server.get(weights, ["Range": "bytes=0-9", "If-Range": tag])
        #expect(part.status == 206 && part.body == Array(bytes[..<10]))
        let changed = try await server.get(weights, ["Range": "bytes=0-9", "If-Range": "\"other\""])
        #expect(changed.status == 200 && changed.body == bytes)
    }

    @Test("a range beyond the end is refused with the size; several ranges give the whole")
    func odd() async throws {
        let server = try await TestServer.shared.value
        let bytes = try original("config.json")
        let path = "/org/base/resolve/main/config.json"
        let behind = try await server.get(path, ["Range": "bytes=\(bytes.count)-"])
        #expect(behind.status == 416)
        #expect(behind["content-range"] == "bytes */\(bytes.count)")
        let several = try await server.get(path, ["Range": "bytes=0-1,3-4"])
        #expect(several.status == 200 && several.body == bytes)
    }

    @Test("several requests on one connection are answered in order, and pipelined ones, too")
    func keepAlive() async throws {
        let server = try await TestServer.shared.value
        let connection = try await server.connect()
        let names = ["config.json", "tokenizer/vocab.txt", "nothing", "config.json"]
        let answers = try await onThread {
            try connection.send(names.map { TestServer.request("GET", "/org/base/resolve/main/\($0)") }.joined())
            // The bytes may be in one piece or in several, so the bodies are compared.
            var text = ""
            while text.components(separatedBy: "HTTP/1.1 ").count < 5 || !text.hasSuffix("}\n") {
                text += String(decoding: try connection.receive(), as: UTF8.self)
            }
            return text.components(separatedBy: "HTTP/1.1 ").dropFirst().map { $0.prefix(3) }
        }
        #expect(answers == ["200", "200", "404", "200"])
    }

    @Test(
        "each kind of missing item has its own error code, so that clients raise their own errors",
        arguments: [
            ("/no/such/resolve/main/config.json", "RepoNotFound"), ("/nosuch/resolve/main/config.json", "RepoNotFound"),
            ("/org/base/resolve/nope/config.json", "RevisionNotFound"),
            ("/org/base/resolve/v99/config.json", "RevisionNotFound"),
            ("/org/base/resolve/ffffffffffffffffffffffffffffffffffffffff/config.json", "RevisionNotFound"),
            ("/org/base/resolve/main/nope", "EntryNotFound"), ("/org/base/resolve/main/tokenizer", "EntryNotFound"),
            ("/org/base/resolve/main/../../../store.db", "EntryNotFound"),
            ("/org/base/resolve/main/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "EntryNotFound"),
            ("/api/models/no/such", "RepoNotFound"), ("/api/models/org/base/revision/nope", "RevisionNotFound"),
            ("/api/models/org/base/tree/nope", "RevisionNotFound"),
            ("/api/models/org/base/tree/main/nope", "EntryNotFound"),
            ("/api/models/no/such/refs", "RepoNotFound"), ("/api/weightstore/models/no/such/revisions", "RepoNotFound"),
        ])
    func missing(path: String, code: String) async throws {
        let server = try await TestServer.shared.value
        for method in ["GET", "HEAD"] {
            let answer = try await server.ask(method, path)
            #expect(answer.status == 404)
            #expect(answer["x-error-code"] == code)
            #expect(answer["x-error-message"]?.isEmpty == false)
            if method == "GET" { #expect(try answer.object()["error"] is String) }
            if code == "EntryNotFound", !path.contains(".."), !path.contains("%2e"), path.contains("resolve") {
                #expect(answer["x-repo-commit"]?.count == 40)
            }
        }
    }

    @Test("a shard whose bytes are missing, or cut short, is a server error and not a broken file")
    func damaged() async throws {
        let server = try await TestServer()
        let (blob, other) = try await onThread {
            let revision = try server.store.revision("org/base")
            func path(_ tensor: String) throws -> String {
                server.store.blobPath(try revision.tensorEntries(named: tensor)[0].shard!)
            }
            return (try path("model.embed_tokens.weight"), try path("model.layers.1.self_attn.k_proj.weight"))
        }
        let place = (8 + 4096)..<(8 + 4096 + 10)
        chmod(blob, 0o644)
        truncate(blob, 1000)
        let cut = try await server.get(weights, ["Range": "bytes=\(place.lowerBound)-\(place.upperBound)"])
        #expect(cut.status == 503 && cut["retry-after"] != nil)
        // It was set aside.
        #expect(!FileManager.default.fileExists(atPath: blob))
        #expect(try await server.get(weights, ["Range": "bytes=\(place.lowerBound)-\(place.upperBound)"]).status == 503)
        let second = "/org/tuned/resolve/main/model-00002-of-00002.safetensors"
        #expect(try await server.get(second).status == 200)
        try FileManager.default.removeItem(atPath: other)
        #expect(try await server.get(second).status == 503)
        #expect(try await server.get("/org/base/resolve/main/config.json").status == 200)
        #expect(server.log.lines.contains { $0.hasPrefix("error") && $0.contains(blob) })
    }

    @Test("a revision that is being sent is not removed")
    func leased() async throws {
        let server = try await TestServer()
        let connection = try await server.connect(receiveBuffer: 1 << 16)
        let bytes = try original("model.safetensors")
        try await onThread { [weights] in
            try connection.send(TestServer.request("GET", weights))
            _ = try connection.receive(most: 100)
        }
        #expect(throws: StoreError.self) { try server.store.remove(["org/base"]) }
        let received = try await onThread {
            var count = 0
            while count < bytes.count { count += try connection.receive().count }
            return count
        }
        #expect(received >= bytes.count)
        #expect(try await eventually { (try? server.store.remove(["org/base"])) != nil })
        #expect(try await server.get(weights).status == 404)
    }
}
