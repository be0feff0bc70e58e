import Foundation
import TestSupport
import Testing
import WeightStore

/// The Hub's answers about models.
@Suite(.blocking)
struct HubAPITests {
    @Test("a model lists its files, and their sizes and digests on request")
    func model() async throws {
        let server = try await TestServer.shared.value
        let revision = try await onThread { try server.store.revisions(of: "org/tuned")[0] }
        let brief = try await server.get("/api/models/org/tuned").object()
        #expect(brief["id"] as? String == "org/tuned" && brief["author"] as? String == "org")
        #expect(brief["sha"] as? String == revision.commit)
        #expect(brief["private"] as? Bool == false && brief["gated"] as? Bool == false)
        #expect(brief["tags"] as? [String] == ["safetensors"])
        let names = try #require(brief["siblings"] as? [[String: Any]])
        #expect(
            names.map { $0["rfilename"] as? String } == [
                "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
                "model.safetensors.index.json", "tokenizer/vocab.txt",
            ])
        #expect(names.allSatisfy { $0.count == 1 })
        for path in [
            "/api/models/org/tuned/revision/main?blobs=true", "/api/models/org/tuned?blobs=True&securityStatus=True",
        ] {
            let full = try await server.get(path).object()
            let siblings = try #require(full["siblings"] as? [[String: Any]])
            let weights = try #require(siblings[1]["lfs"] as? [String: Any])
            #expect((weights["sha256"] as? String)?.count == 64)
            #expect(weights["size"] as? Int == siblings[1]["size"] as? Int)
            #expect(siblings[4]["blobId"] as? String == "de980441c3ab03a8c07dda1ad27b8a11f39deb1e")
            #expect(siblings[4]["lfs"] == nil)
        }
        #expect(try await server.get("/api/models/single").object()["author"] == nil)
    }

    @Test("a pointer's name is git's object name of the pointer")
    func pointer() async throws {
        let server = try await TestServer.shared.value
        let entries = try await server.get("/api/models/org/base/tree/main?recursive=true").list()
        let weights = try #require(entries.first { $0["path"] as? String == "model.safetensors" })
        let lfs = try #require(weights["lfs"] as? [String: Any])
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:\(lfs["oid"]!)\nsize \(lfs["size"]!)\n"
        #expect(lfs["pointerSize"] as? Int == pointer.utf8.count)
        #expect(weights["size"] as? Int == lfs["size"] as? Int)
        try server.directory.write(pointer, to: "pointer")
        let name = try ChildProcess.check("git", "hash-object", server.directory("pointer"))
        #expect(weights["oid"] as? String == name.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    @Test("a tree lists a folder, or all below it, and pages put together are the whole")
    func tree() async throws {
        let server = try await TestServer.shared.value
        func paths(_ query: String) async throws -> [String] {
            try await server.get("/api/models/org/tuned/tree/main\(query)").list().map {
                "\($0["type"]!) \($0["path"]!)"
            }
        }
        let top = try await paths("")
        #expect(
            top == [
                "file config.json", "file model-00001-of-00002.safetensors", "file model-00002-of-00002.safetensors",
                "file model.safetensors.index.json", "directory tokenizer",
            ])
        let all = try await paths("?recursive=true")
        #expect(all == top + ["file tokenizer/vocab.txt"])
        #expect(try await paths("/tokenizer") == ["file tokenizer/vocab.txt"])
        var pages: [String] = []
        var next: String? = "/api/models/org/tuned/tree/main?recursive=True&expand=True&limit=4"
        var count = 0
        while let path = next {
            let answer = try await server.get(path)
            let entries = try answer.list()
            pages += entries.map { "\($0["type"]!) \($0["path"]!)" }
            #expect(entries.allSatisfy { ($0["lastCommit"] as? [String: Any])?["title"] as? String == "~1" })
            let link = answer["link"]
            #expect(
                link == nil
                    || link!.hasPrefix("<http://hub.test/api/models/org/tuned/tree/main?")
                        && link!.hasSuffix(">; rel=\"next\"")
            )
            next = link.map { $0.dropFirst("<http://hub.test".count).split(separator: ">")[0] }.map(String.init)
            count += 1
        }
        #expect(pages == all)
        #expect(count == 2)
    }

    @Test("paths are described by name")
    func paths() async throws {
        let server = try await TestServer.shared.value
        let body = "paths=config.json&paths=tokenizer&paths=no%2Fsuch&expand=False"
        let answer = try await server.ask(
            "POST", "/api/models/org/base/paths-info/main", ["Content-Type": "application/x-www-form-urlencoded"],
            body: body)
        #expect(try answer.list().map { $0["path"] as? String } == ["config.json", "tokenizer"])
        #expect(try answer.list().map { $0["type"] as? String } == ["file", "directory"])
        #expect(try await server.get("/api/models/org/base/paths-info/main")["allow"] == "POST")
    }

    @Test("refs are branches, versions are tags and commits")
    func refs() async throws {
        let server = try await TestServer.shared.value
        let refs = try await server.get("/api/models/org/base/refs").object()
        let branches = try #require(refs["branches"] as? [[String: Any]])
        #expect(branches.map { $0["ref"] as? String } == ["refs/heads/main", "refs/heads/prod"])
        #expect((refs["tags"] as? [[String: Any]])?.map { $0["name"] as? String } == ["~1"])
        let commits = try await server.get("/api/models/org/base/commits/main").list()
        #expect(commits.map { $0["id"] as? String } == [branches[0]["targetCommit"] as? String])
        #expect(try await server.get("/api/models/org/base/auth-check").status == 200)
    }

    @Test("models are searched, sorted and paged")
    func models() async throws {
        let server = try await TestServer.shared.value
        func names(_ query: String) async throws -> [String] {
            try await server.get("/api/models\(query)").list().map { $0["id"] as! String }
        }
        #expect(try await names("") == ["org/base", "org/tuned", "single"])
        #expect(try await names("?search=TUN") == ["org/tuned"])
        #expect(try await names("?author=org") == ["org/base", "org/tuned"])
        #expect(try await names("?author=or") == [])
        #expect(Set(try await names("?sort=lastModified")) == ["org/base", "org/tuned", "single"])
        let first = try await server.get("/api/models?limit=2&search=")
        let next = try #require(first["link"]).dropFirst("<http://hub.test".count).split(separator: ">")[0]
        let second = try await server.get(String(next))
        #expect(try first.list().count == 2)
        #expect(try second.list().map { $0["id"] as? String } == ["single"])
        #expect(second["link"] == nil)
        let cursor = Data("org/c".utf8).base64EncodedString()
        #expect(try await names("?cursor=\(cursor)") == ["org/tuned", "single"])
    }

    @Test("a link names the server by the client's Host header, and an invalid header is not repeated")
    func links() async throws {
        let server = try await TestServer.shared.value
        let path = "/api/models?limit=1"
        #expect(
            try await server.get(path, ["Host": "a.example:81"])["link"]?.hasPrefix("<http://a.example:81/api") == true)
        #expect(
            try await server.get(path, ["X-Forwarded-Proto": "https"])["link"]?.hasPrefix("<https://hub.test/api")
                == true)
        #expect(try await server.get(path, ["Host": "a>b"])["link"]?.hasPrefix("</api") ?? true)
    }

    @Test("a request with any token is identified as a user")
    func whoAmI() async throws {
        let server = try await TestServer.shared.value
        #expect(try await server.get("/api/whoami-v2").status == 401)
        let user = try await server.get("/api/whoami-v2", ["Authorization": "Bearer x"]).object()
        #expect(user["type"] as? String == "user")
    }

    @Test("requests that would change a model are refused", arguments: ["PUT", "POST", "DELETE", "PATCH"])
    func readOnly(method: String) async throws {
        let server = try await TestServer.shared.value
        for path in ["/", "/org/base/resolve/main/config.json", "/api/models/org/base", "/api/models"] {
            let answer = try await server.ask(method, path)
            #expect(answer.status == 405)
            #expect(answer["allow"] == "GET, HEAD")
        }
    }
}
