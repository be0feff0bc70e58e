import Foundation
import Synchronization
import TestSupport
import Testing
import WeightStore
@testable import Server

/// Names in requests are compared by bytes, and none of them stops the server.
@Suite(.blocking)
struct OutsideNameTests {
    @Test(
        "a revision with other digits than ASCII's is not found, and the server keeps running",
        arguments: [
            "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96", "v%EF%BC%91", "~%EF%BC%91", "%CC%81",
            "sha256%3A%EF%BC%91",
            "v9223372036854775808", "aaaaaa%CC%81", "%E2%84%AA",
        ])
    func revisions(name: String) async throws {
        let server = try await TestServer.shared.value
        for path in ["/org/base/resolve/\(name)/config.json", "/api/models/org/base/revision/\(name)"] {
            #expect(try await server.get(path).status == 404)
        }
        #expect(try await server.get("/org/base/resolve/main/config.json").status == 200)
    }

    @Test("the pages of a listing end, and contain both of two files whose names Unicode holds equal")
    func twins() async throws {
        let server = try await TestServer()
        let names = ["caf\u{E9}", "cafe\u{301}", "a/\u{301}x"]
        for name in names { try server.directory.write(Array(name.utf8), to: "twins/\(name)") }
        let (store, source) = (server.store, server.directory("twins"))
        _ = try await onThread { try store.importModelBlocking(ImportRequest(source: source, name: "org/twins")) }
        var found: Set<[UInt8]> = []
        var next: String? = "/api/models/org/twins/tree/main?recursive=true&limit=1"
        for _ in 0..<10 {
            guard let path = next else { break }
            let answer = try await server.get(path)
            for entry in try answer.list() where entry["type"] as? String == "file" {
                found.insert(Array((entry["path"] as? String ?? "").utf8))
            }
            next = answer["link"].flatMap { link in
                link.split(separator: ">").first.flatMap { $0.range(of: "/api/") }.map {
                    String(link[$0.lowerBound...].prefix { $0 != ">" })
                }
            }
        }
        #expect(next == nil)
        #expect(found == Set(names.map { Array($0.utf8) }))
        for name in names {
            let path = PercentEncoding.encode(name, keepingSlashes: true)
            #expect(try await server.get("/org/twins/resolve/main/\(path)").body == Array(name.utf8))
        }
        #expect(try await server.get("/api/models/org/twins/tree/main/a").list().count == 1)
    }
}
