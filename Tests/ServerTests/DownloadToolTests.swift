import Foundation
import Server
import TestSupport
import Testing
import WeightStore

/// Whether a program is in the PATH.
private func isInstalled(_ program: String) -> Bool {
    (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        .contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(program)") }
}

/// Programs that download single files, and the requests of llama.cpp.
@Suite(.blocking)
struct DownloadToolTests {
    private static let path = "/org/base/resolve/main/model.safetensors"

    /// Downloads a file of which the first half is there already, and compares it.
    private func resume(_ command: @Sendable (_ url: String, _ directory: String) -> [String]) async throws {
        let server = try await TestServer.shared.value
        let bytes = try TestServer.base.file(TestServer.base.tensors)
        let directory = try TemporaryDirectory()
        let file = try directory.write(bytes[..<(bytes.count / 2)], to: "model.safetensors")
        let words = command("http://127.0.0.1:\(server.port)\(Self.path)", directory.path)
        let result = try await onThread { try ChildProcess.run(words, environment: HubPython.withoutProxies) }
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        #expect(try contents(file) == bytes)
    }

    @Test("curl resumes a file", .enabled(if: isInstalled("curl"), "curl is not installed"))
    func curl() async throws {
        try await resume { url, directory in
            ["curl", "-sSfL", "-C", "-", "-o", "\(directory)/model.safetensors", url]
        }
    }

    @Test("wget resumes a file", .enabled(if: isInstalled("wget"), "wget is not installed; Tests/run installs it"))
    func wget() async throws {
        try await resume { url, directory in ["wget", "-q", "-c", "-P", directory, url] }
    }

    @Test(
        "aria2 fetches a file by several connections",
        .enabled(if: isInstalled("aria2c"), "aria2 is not installed; Tests/run installs it"))
    func aria2() async throws {
        let server = try await TestServer.shared.value
        let directory = try TemporaryDirectory()
        let url = "http://127.0.0.1:\(server.port)\(Self.path)"
        let words = ["aria2c", "-q", "-x", "4", "-s", "4", "-k", "1M", "-d", directory.path, "-o", "file", url]
        let result = try await onThread { try ChildProcess.run(words, environment: HubPython.withoutProxies) }
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        #expect(try contents(directory("file")) == TestServer.base.file(TestServer.base.tensors))
    }

    /// The requests of `llama-server -hf org/gguf:Q4_K_M`: `common/hf-cache.cpp` and `common/download.cpp` of llama.cpp.
    @Test("llama.cpp's -hf finds the branch, the tree and the file, resumes it, and sends a token of ours")
    func llama() async throws {
        let made = try AccessToken.make(name: "llama", scope: .read, created: 1)
        var options = ServerOptions()
        options.tokens = [made.token]
        let server = try await TestServer(options)
        let bytes = SmallGGUF.bytes(type: 15)
        try server.directory.write(bytes, to: "gguf/Tiny-Q4_K_M.gguf")
        try server.directory.write(SmallGGUF.bytes(type: 7, seed: 2), to: "gguf/Tiny-Q8_0.gguf")
        let (store, source) = (server.store, server.directory("gguf"))
        _ = try await onThread { try store.importModelBlocking(ImportRequest(source: source, name: "org/gguf")) }
        let fields = [
            "User-Agent": "llama-cpp/b9000", "Accept": "application/json", "Authorization": "Bearer \(made.text)",
        ]
        let refs = try await server.get("/api/models/org/gguf/refs", fields).object()
        let branches = try #require(refs["branches"] as? [[String: Any]])
        let main = try #require(branches.first { $0["name"] as? String == "main" })
        let commit = try #require(main["targetCommit"] as? String)
        #expect(commit.contains(/^[0-9a-f]{40}$/))
        let tree = try await server.get("/api/models/org/gguf/tree/\(commit)?recursive=true", fields).list()
        let entry = try #require(tree.first { ($0["path"] as? String)?.contains("Q4_K_M") == true })
        #expect(entry["type"] as? String == "file")
        let lfs = try #require(entry["lfs"] as? [String: Any])
        #expect((lfs["oid"] as? String)?.contains(/^[0-9a-f]{64}$/) == true)
        let path = "/org/gguf/resolve/\(commit)/Tiny-Q4_K_M.gguf"
        let head = try await server.ask("HEAD", path, fields)
        #expect(head.status == 200 && head["etag"]?.isEmpty == false && head["accept-ranges"] == "bytes")
        #expect(head["content-length"] == "\(bytes.count)")
        #expect(try await server.get(path, fields).body == bytes)
        let rest = try await server.get(path, fields.merging(["Range": "bytes=1000-"]) { $1 })
        #expect(rest.status == 206 && rest.body == Array(bytes[1000...]))
        // It does not send a token of another form, so it receives this answer.
        let refused = try await server.get("/api/models/org/gguf/refs")
        #expect(refused.status == 401)
        #expect(try refused.object()["error"] is String)
    }
}
