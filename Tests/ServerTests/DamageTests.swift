import Foundation
import Glibc
import Server
import TestSupport
import Testing
@testable import WeightStore

/// Damaged shards behind the server.
@Suite(.blocking)
struct DamageTests {
    /// A model of one file that is sent in two parts, and its last shard.
    private func server() async throws -> (TestServer, last: String, digest: ContentDigest) {
        let server = try await TestServer()
        let directory = server.directory
        return try await onThread {
            var model = TestModel(layers: 0, seed: 5)
            model.tensors = (0..<40).map { .init(name: String(format: "t.%02d", $0), dtype: "F32", shape: [512, 512]) }
            try model.write(to: directory("large"))
            try server.store.importModelBlocking(ImportRequest(source: directory("large"), name: "org/large"))
            let digest = try server.store.catalog.read { db in
                let files = try RevisionTable.files(of: RevisionRow.find("org/large", db).id, db)
                let largest = try files.compactMap { try FileTable.find($0, db) }.max { $0.bytes < $1.bytes }
                let file = try #require(largest)
                let last = try #require(try ExtentTable.page(of: file.id, after: -1, limit: 1000, db).last)
                return try #require(try ShardTable.find(id: last.shard, db)).digest
            }
            return (server, server.store.blobs.path(digest), digest)
        }
    }

    private let path = "/org/large/resolve/main/model.safetensors"

    @Test("a file of which a shard is damaged is refused before the first byte, whichever part the shard is in")
    func refused() async throws {
        let (server, last, digest) = try await server()
        let whole = try await server.get(path)
        #expect(whole.status == 200)
        #expect(try await server.get("/health").object()["status"] as? String == "ok")
        chmod(last, 0o644)
        truncate(last, 100)
        #expect(try await server.get(path).status == 503)
        #expect(try await server.ask("HEAD", path).status == 503)
        // A range without the damage is sent.
        #expect(try await server.get(path, ["Range": "bytes=0-99"]).status == 206)
        let health = try await server.get("/health")
        #expect(health.status == 200)
        #expect(try health.object()["status"] as? String == "degraded")
        let damaged = try #require(try health.object()["damaged"] as? [[String: Any]])
        #expect(damaged.map { $0["digest"] as? String } == [digest.hex])
        #expect(damaged.first?["revisions"] as? [String] == ["org/large@~1"])
        #expect(server.log.lines.contains { $0.hasPrefix("error") && $0.contains(digest.short) })
        // An import restores it.
        _ = try await onThread {
            try server.store.importModelBlocking(
                ImportRequest(source: server.directory("large"), name: "org/large"))
        }
        #expect(try await server.get(path).body == whole.body)
        #expect(try await server.get("/health").object()["status"] as? String == "ok")
    }

    @Test("a shard that is cut short is not given to peers, and is set aside")
    func peers() async throws {
        let (server, last, digest) = try await server()
        chmod(last, 0o644)
        truncate(last, 100)
        #expect(try await server.get("/shards/\(digest.hex)").status == 404)
        let state = try await onThread {
            try server.store.catalog.read { db in try ShardTable.find(digest, db)?.state }
        }
        #expect(state == .quarantined)
    }

    @Test("without the token, /health names no shard and no model")
    func token() async throws {
        var options = ServerOptions()
        options.tokens = [try AccessToken("token", source: "test")]
        let server = try await TestServer(options)
        try await onThread {
            try server.store.catalog.write { db in
                let shard = try #require(
                    try ShardTable.present(of: RevisionRow.find("org/base", db).id, verifiedBefore: nil, db).shards
                        .first)
                let digest = try #require(try ShardTable.find(id: shard, db)).digest
                try ShardTable.mark(digest, as: .missing, db)
            }
        }
        let health = try await server.get("/health").object()
        #expect(health["status"] as? String == "degraded")
        #expect(health["damaged"] == nil)
        let full = try await server.get("/health", ["Authorization": "Bearer token"]).object()
        #expect((full["damaged"] as? [[String: Any]])?.count == 1)
    }
}
