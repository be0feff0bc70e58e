import Foundation
import TestSupport
import Testing
import WeightStore

/// Requests of other stores.
@Suite(.blocking)
struct PeerTests {
    @Test("shards are served by digest, whole and in part, and may be cached without limit")
    func shards() async throws {
        let server = try await TestServer.shared.value
        let digests = try await onThread {
            try server.store.revision("org/base").tensorEntries().compactMap(\.shard)
        }
        for digest in Set(digests) {
            let answer = try await server.get("/shards/\(digest)")
            #expect(answer.status == 200)
            #expect(answer.body.withUnsafeBytes { ContentDigest(of: $0) } == digest)
            #expect(answer["cache-control"] == "public, max-age=31536000, immutable")
            #expect(answer["etag"] == "\"\(digest)\"")
            let part = try await server.get("/shards/\(digest)", ["Range": "bytes=3-70"])
            #expect(part.status == 206 && part.body == Array(answer.body[3...70]))
            #expect(try await server.ask("HEAD", "/shards/\(digest)")["content-length"] == "\(answer.body.count)")
            #expect(try await server.get("/shards/\(digest)", ["If-None-Match": "\"\(digest)\""]).status == 304)
        }
        #expect(try await server.get("/shards/\(String(repeating: "0", count: 64))").status == 404)
    }

    @Test("a blob that no row knows is not served: it may be torn")
    func unknownFiles() async throws {
        let server = try await TestServer.shared.value
        let bytes = Array("a shard that a crash left".utf8)
        let digest = bytes.withUnsafeBytes { ContentDigest(of: $0) }
        try server.directory.write(bytes, to: "store/blobs/\(digest.hex.prefix(2))/\(digest)")
        #expect(try await server.get("/shards/\(digest)").status == 404)
        try server.directory.write(bytes, to: "store/blobs/\(digest.hex.prefix(2))/\(digest).manifest")
        #expect(try await server.get("/manifests/\(digest)").status == 404)
    }

    @Test("revisions are listed, and their manifests are served by digest")
    func revisions() async throws {
        let server = try await TestServer.shared.value
        let answer = try await server.get("/api/weightstore/models/org/base/revisions")
        let decoded = try JSONDecoder().decode([RevisionInfo].self, from: Data(answer.body))
        #expect(decoded.map(\.version) == [1] && decoded[0].refs == ["main", "prod"])
        let manifest = try await server.get("/manifests/\(decoded[0].digest)")
        #expect(manifest.body.withUnsafeBytes { ContentDigest(of: $0) } == decoded[0].digest)
        #expect(manifest.text.hasPrefix("weightstore manifest 1\n"))
        #expect(try await server.get("/shards/\(decoded[0].digest)").status == 404)
    }
}
