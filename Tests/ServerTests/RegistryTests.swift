import Foundation
import Server
import TestSupport
import Testing
import WeightStore

/// Ollama's registry, with the requests of `ollama pull` (`server/images.go` and `server/download.go` of ollama/ollama).
@Suite(.blocking)
struct RegistryTests {
    private static let manifestType = "application/vnd.docker.distribution.manifest.v2+json"

    private struct Pulled {
        /// The bytes of each layer, by the end of its media type.
        var layers: [String: [UInt8]] = [:]
        var configuration: [String: Any] = [:]
    }

    /// Imports files as a model.
    private func add(_ files: [String: [UInt8]], to server: TestServer, as name: String = "org/gguf") async throws {
        for (path, bytes) in files { try server.directory.write(bytes, to: "\(name)/\(path)") }
        let (store, source) = (server.store, server.directory(name))
        _ = try await onThread { try store.importModelBlocking(ImportRequest(source: source, name: name)) }
    }

    /// Does what `ollama pull` does, with parts of a size of which a file has several.
    private func pull(_ name: String, from server: TestServer) async throws -> Pulled {
        let manifest = try await server.get("/v2/\(name)", ["Accept": Self.manifestType])
        try #require(manifest.status == 200, "\(manifest.text)")
        #expect(manifest["content-type"] == Self.manifestType)
        let object = try manifest.object()
        let repository = name.split(separator: "/").dropLast(2).joined(separator: "/")
        #expect(object["schemaVersion"] as? Int == 2)
        let layers = try #require(object["layers"] as? [[String: Any]])
        let configuration = try #require(object["config"] as? [String: Any])
        var pulled = Pulled()
        for layer in layers + [configuration] {
            let digest = try #require(layer["digest"] as? String)
            let bytes = try await blob("/v2/\(repository)/blobs/\(digest)", from: server)
            #expect(bytes.count == layer["size"] as? Int)
            let found = bytes.withUnsafeBytes { ContentDigest(of: $0) }
            #expect("sha256:" + found.hex == digest)
            let type = try #require(layer["mediaType"] as? String)
            guard type == "application/vnd.docker.container.image.v1+json" else {
                pulled.layers[type.split(separator: ".").last.map(String.init) ?? type] = bytes
                continue
            }
            pulled.configuration =
                try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
        }
        return pulled
    }

    private func blob(_ path: String, from server: TestServer) async throws -> [UInt8] {
        let head = try await server.ask("HEAD", path)
        let size = try #require(head["content-length"].flatMap { Int($0) })
        // Ollama fails with "no Location header in response" without the field, which may be relative.
        let direct = try await server.get(path)
        #expect(direct.status == 200)
        let location = try #require(direct["location"])
        var bytes: [UInt8] = []
        let part = max(size / 3, 1)
        for start in stride(from: 0, to: size, by: part) {
            let end = min(start + part, size)
            let answer = try await server.get(location, ["Range": "bytes=\(start)-\(end - 1)"])
            #expect(answer.status == 206)
            bytes += answer.body
        }
        return bytes
    }

    @Test("ollama pull receives the file of a quantisation, its vision encoder, template and parameters")
    func pull() async throws {
        let (medium, large) = (SmallGGUF.bytes(type: 15), SmallGGUF.bytes(type: 7, seed: 2))
        let server = try await TestServer()
        try await add(
            [
                "Tiny-Q8_0.gguf": large, "Tiny-Q4_K_M.gguf": medium,
                "mmproj-F16.gguf": SmallGGUF.bytes(type: 1, seed: 3),
                "template": Array("{{ .Prompt }}".utf8), "params": Array(#"{"temperature": 0}"#.utf8),
            ], to: server)
        #expect(try await server.get("/v2/").status == 200)
        let first = try await pull("org/gguf/manifests/latest", from: server)
        #expect(first.layers["model"] == medium)
        #expect(first.layers["projector"] == SmallGGUF.bytes(type: 1, seed: 3))
        #expect(first.layers["template"].map { String(decoding: $0, as: UTF8.self) } == "{{ .Prompt }}")
        #expect(first.layers["params"] != nil && first.layers["system"] == nil)
        #expect(first.configuration["model_format"] as? String == "gguf")
        #expect(first.configuration["model_family"] as? String == "llama")
        #expect(first.configuration["model_type"] as? String == "16.38K")
        #expect(first.configuration["file_type"] as? String == "Q4_K_M")
        for tag in ["Q8_0", "q8_0", "Tiny-Q8_0.gguf"] {
            #expect(try await pull("org/gguf/manifests/\(tag)", from: server).layers["model"] == large)
        }
        let absent = try await server.get("/v2/org/gguf/manifests/IQ3_M")
        #expect(absent.status == 400 && absent.text.contains("Q4_K_M, Q8_0"))
        #expect(try await server.get("/v2/org/base/manifests/latest").text.contains("no GGUF file"))
        #expect(try await server.get("/v2/org/nowhere/manifests/latest").status == 404)
        #expect(try await server.ask("PUT", "/v2/org/gguf/manifests/latest").status == 405)
    }

    @Test("a manifest stays complete after main has moved and the server was restarted")
    func moved() async throws {
        let server = try await TestServer()
        try await add(["a.gguf": SmallGGUF.bytes(type: 15)], to: server)
        let manifest = try await server.get("/v2/org/gguf/manifests/latest").object()
        let layers = try #require(manifest["layers"] as? [[String: Any]])
        let configuration = try #require(manifest["config"] as? [String: Any])
        try await add(["a.gguf": SmallGGUF.bytes(type: 15, seed: 9)], to: server)
        let again = try await TestServer(beside: server)
        for layer in layers + [configuration] {
            let digest = try #require(layer["digest"] as? String)
            #expect(try await again.get("/v2/org/gguf/blobs/\(digest)").body.count == layer["size"] as? Int)
        }
        let none = String(repeating: "0", count: 64)
        #expect(try await again.get("/v2/org/gguf/blobs/sha256:\(none)").status == 404)
    }

    @Test("a configuration is found under the name of its own model alone")
    func configurationOfAnotherModel() async throws {
        let server = try await TestServer()
        try await add(["a.gguf": SmallGGUF.bytes(type: 15)], to: server)
        try await add(["a.gguf": SmallGGUF.bytes(type: 15, seed: 9)], to: server, as: "org/other")
        let manifest = try await server.get("/v2/org/gguf/manifests/latest").object()
        let configuration = try #require(manifest["config"] as? [String: Any])
        let digest = try #require(configuration["digest"] as? String)
        #expect(try await server.get("/v2/org/gguf/blobs/\(digest)").status == 200)
        #expect(try await server.get("/v2/org/other/blobs/\(digest)").status == 404)
    }

    @Test("latest is Q4_K_M, else Q8_0, else the first GGUF file by path")
    func latest() async throws {
        let files = [
            "b-F16.gguf": SmallGGUF.bytes(type: 1, seed: 1), "c-Q8_0.gguf": SmallGGUF.bytes(type: 7, seed: 2),
            "a-Q2_K.gguf": SmallGGUF.bytes(type: 10, seed: 3),
        ]
        let server = try await TestServer()
        try await add(files, to: server)
        #expect(try await pull("org/gguf/manifests/latest", from: server).layers["model"] == files["c-Q8_0.gguf"])
        // "é" as one code point and as two are two names.
        let others = files.filter { $0.key != "c-Q8_0.gguf" }.merging(["z\u{E9}.gguf": SmallGGUF.bytes(type: 2)]) { $1 }
        try await add(others, to: server, as: "org/others")
        #expect(try await server.get("/v2/org/others/manifests/z%C3%A9").status == 200)
        #expect(try await server.get("/v2/org/others/manifests/ze%CC%81").status == 400)
        #expect(try await pull("org/others/manifests/latest", from: server).layers["model"] == files["a-Q2_K.gguf"])
        // The bytes decide that it is a GGUF file. Ollama names a model without an organization so.
        try await add(["weights": SmallGGUF.bytes(type: 15)], to: server, as: "unnamed")
        let unnamed = try await pull("library/unnamed/manifests/latest", from: server)
        #expect(unnamed.layers["model"] == SmallGGUF.bytes(type: 15))
    }
}
