@testable import Server
import Support
import TestSupport
import Testing
import WireFormats

/// Routes of paths.
@Suite(.blocking)
struct RouteTests {
    static let commit = String(repeating: "a1", count: 20)

    @Test(
        "paths of the Hub, of peers and of operators are distinguished",
        arguments: [
            ("/", Route.page), ("/health", .health), ("/metrics", .metrics), ("/api/whoami-v2", .whoAmI),
            ("/api/models", .models), ("/api/models/", .models),
            ("/api/models/org/name", .model("org/name", revision: nil)),
            ("/api/models/name", .model("name", revision: nil)),
            ("/api/models/org/name/revision/main", .model("org/name", revision: "main")),
            ("/api/models/name/revision/refs%2Fpr%2F1", .model("name", revision: "refs/pr/1")),
            ("/api/models/org/name/tree/main", .tree("org/name", revision: "main", path: "")),
            ("/api/models/name/tree/\(commit)/a%2Fb%20c", .tree("name", revision: commit, path: "a/b c")),
            ("/api/models/org/name/tree/v1/a/b", .tree("org/name", revision: "v1", path: "a/b")),
            ("/api/models/org/name/paths-info/main", .pathsInfo("org/name", revision: "main")),
            ("/api/models/org/name/refs", .refs("org/name")), ("/api/models/name/refs", .refs("name")),
            ("/api/models/org/name/commits/main", .commits("org/name", revision: "main")),
            ("/api/models/org/name/auth-check", .authCheck("org/name")),
            ("/api/models/org/tree", .model("org/tree", revision: nil)),
            ("/org/name/resolve/main/a/b.json", .file("org/name", revision: "main", path: "a/b.json")),
            ("/name/resolve/main/b.json", .file("name", revision: "main", path: "b.json")),
            ("/org/resolve/resolve/main/x", .file("org/resolve", revision: "main", path: "x")),
            ("/org/name/resolve/main/%e4%bd%a0%20.txt", .file("org/name", revision: "main", path: "你 .txt")),
            ("/org/name/resolve/main/..x/...", .file("org/name", revision: "main", path: "..x/...")),
            ("/api/weightstore/models/org/name/revisions", .revisions("org/name")),
            ("/api/weightstore/models/name/revisions", .revisions("name")),
            ("/shards/\(String(repeating: "0", count: 64))", .shard(.init(hex: String(repeating: "0", count: 64))!)),
            (
                "/manifests/\(String(repeating: "f", count: 64))",
                .manifest(.init(hex: String(repeating: "f", count: 64))!)
            ),
        ])
    func understood(path: String, route: Route) throws {
        #expect(try Route(path) == route)
    }

    @Test(
        "paths that leave a model, name none, or are badly encoded are refused",
        arguments: [
            ("/org/name/resolve/main/../../x", HubError.noFile(commit: nil)),
            ("/org/name/resolve/main/a/%2e%2e/%2e%2e/x", .noFile(commit: nil)),
            ("/org/name/resolve/main/..%2f..%2fetc%2fpasswd", .noFile(commit: nil)),
            ("/org/name/resolve/main/./x", .noFile(commit: nil)),
            ("/org/name/resolve/main//etc/passwd", .noFile(commit: nil)),
            ("/api/models/org/name/tree/main/..", .noFile(commit: nil)),
            ("/org/name/resolve/main/%00", .badRequest("the path is not percent-encoded UTF-8")),
            ("/org/name/resolve/main/%0d%0aX: y", .badRequest("the path is not percent-encoded UTF-8")),
            ("/org/name/resolve/main/%ff", .badRequest("the path is not percent-encoded UTF-8")),
            ("/org/name/resolve/main/%c0%ae%c0%ae/x", .badRequest("the path is not percent-encoded UTF-8")),
            ("/org/name/resolve/main/%", .badRequest("the path is not percent-encoded UTF-8")),
            ("/org/name/resolve/main/%2", .badRequest("the path is not percent-encoded UTF-8")),
            ("/org/name/resolve/main/%zz", .badRequest("the path is not percent-encoded UTF-8")),
            ("x", .badRequest("the path does not begin with /")),
            ("/../name/resolve/main/x", .noModel), ("/%2e%2e/name/resolve/main/x", .noModel),
            ("/org%2fname/x/resolve/main/f", .noModel), ("/a/b/c/resolve/main/f", .noModel),
            ("/org/na@me/resolve/main/f", .noModel), ("/datasets/x/resolve/main/f", .noModel),
            ("/datasets/a/b/resolve/main/f", .noModel), ("/api/datasets/a/b", .noModel),
            ("/api/models/a/b/c", .noModel), ("/api/models/org//tree/main", .noModel),
            ("/api/nothing", .noPage), ("/nothing", .noPage), ("/shards/xyz", .noPage), ("//", .noPage),
            ("/shards/\(String(repeating: "0", count: 63))", .noPage),
            ("/store.db", .noPage), ("/blobs/ab/cd", .noPage), ("/%2e%2e/%2e%2e/etc/passwd", .noPage),
        ])
    func refused(path: String, error: HubError) {
        #expect(throws: error) { try Route(path) }
    }

    @Test("percent-encoding round-trips")
    func encoding() {
        for text in ["", "a/b", "ä €.txt", "100%", "a+b&c=d?#", "~-_."] {
            #expect(PercentEncoding.decode(PercentEncoding.encode(text)) == text)
        }
        #expect(PercentEncoding.decode("a+b") == "a+b")
        #expect(Query("a=1+2&b=%26&c&a=3&bad=%zz").text == "a=1%202&b=%26&c=&a=3")
        #expect(Query("a=1&a=2").all("a") == ["1", "2"])
        #expect(Query("x=True").isSet("x") && !Query("x=False").isSet("x"))
    }
}
