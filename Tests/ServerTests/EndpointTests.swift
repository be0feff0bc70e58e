import Foundation
import Server
import TestSupport
import Testing

/// Requests beside those for models and their files.
@Suite(.blocking)
struct EndpointTests {
    @Test("raw sends a file as git has it: of a file in LFS, the pointer")
    func raw() async throws {
        let server = try await TestServer.shared.value
        let small = try await server.get("/org/base/raw/main/config.json")
        #expect(small.status == 200 && small.text == TestServer.base.others["config.json"])
        #expect(small["content-type"] == "text/plain; charset=utf-8" && small["x-repo-commit"]?.count == 40)
        let entries = try await server.get("/api/models/org/base/tree/main").list()
        let weights = try #require(entries.first { $0["path"] as? String == "model.safetensors" })
        let lfs = try #require(weights["lfs"] as? [String: Any])
        let pointer = try await server.get("/org/base/raw/main/model.safetensors")
        #expect(
            pointer.text
                == "version https://git-lfs.github.com/spec/v1\noid sha256:\(lfs["oid"]!)\nsize \(lfs["size"]!)\n")
        let tag = "\"\(weights["oid"]!)\""
        #expect(pointer["etag"] == tag && lfs["pointerSize"] as? Int == pointer.body.count)
        #expect(
            try await server.get("/org/base/raw/main/model.safetensors", ["If-None-Match": tag]).status == 304)
        let part = try await server.get("/org/base/raw/main/model.safetensors", ["Range": "bytes=0-6"])
        #expect(part.status == 206 && part.text == "version")
        #expect(try await server.get("/org/base/raw/main/nope")["x-error-code"] == "EntryNotFound")
    }

    @Test("a model has no discussions")
    func discussions() async throws {
        let server = try await TestServer.shared.value
        let answer = try await server.get("/api/models/org/base/discussions?p=0").object()
        #expect((answer["discussions"] as? [Any])?.isEmpty == true)
        #expect(answer["count"] as? Int == 0 && answer["start"] as? Int == 0)
        #expect(try await server.get("/api/models/org/nowhere/discussions").status == 404)
    }

    @Test("a request for a dataset or a space is redirected to the upstream, without the user of its URL")
    func redirect() async throws {
        var options = ServerOptions()
        options.upstream = "https://user:secret@hub.example/"
        let server = try await TestServer(options)
        for path in [
            "/datasets/org/name/resolve/main/a%20b.csv?download=true",
            "/api/datasets/org/name/tree/main?recursive=True", "/spaces/org/name", "/api/spaces",
        ] {
            for method in ["GET", "HEAD"] {
                let answer = try await server.ask(method, path)
                #expect(answer.status == 307 && answer["location"] == "https://hub.example" + path)
            }
        }
        let described = try await server.ask("POST", "/api/datasets/org/name/paths-info/main", body: "paths=a")
        #expect(described.status == 307)
    }

    @Test("without an upstream, and with a token, the answer names what the server has not", arguments: [true, false])
    func noRedirect(hasToken: Bool) async throws {
        var options = ServerOptions()
        // A client would send the token to the upstream, too.
        if hasToken { options.upstream = "https://hub.example" }
        options.tokens = hasToken ? [try AccessToken("token", source: "test")] : nil
        let server = try await TestServer(options)
        for (path, kind) in [
            ("/datasets/org/name/resolve/main/a.csv", "dataset"), ("/api/datasets/org/name", "dataset"),
            ("/spaces/org/name", "space"), ("/api/spaces/org/name", "space"),
        ] {
            let answer = try await server.get(path, ["Authorization": "Bearer token"])
            #expect(answer.status == 404 && answer["x-error-code"] == "RepoNotFound")
            #expect(answer.text.contains("this is a \(kind), and this server has models only"))
        }
    }
}
