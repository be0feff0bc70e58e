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
            ("/", Route.dashboard(.overview)), ("/health", .ready), ("/readyz", .ready), ("/livez", .live),
            ("/metrics", .metrics), ("/api/whoami-v2", .whoAmI),
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
            ("/disk", .dashboard(.section(.disk))), ("/models/org/name", .dashboard(.model("org/name"))),
            ("/models/name", .dashboard(.model("name"))),
            ("/models/name/resolve/main/x", .file("models/name", revision: "main", path: "x")),
            ("/api/weightstore/tiers", .dashboard(.data(.tiers))), ("/api/weightstore/updates", .dashboard(.updates)),
            ("/api/weightstore/details/org/name", .dashboard(.details("org/name"))),
            ("/shards/\(String(repeating: "0", count: 64))", .shard(.init(hex: String(repeating: "0", count: 64))!)),
            (
                "/manifests/\(String(repeating: "f", count: 64))",
                .manifest(.init(hex: String(repeating: "f", count: 64))!)
            ),
        ])
    func understood(path: String, route: Route) throws {
        #expect(try Route(path) == route)
    }

    private static let zeros = String(repeating: "0", count: 64)

    private static let more: [(path: String, route: Route)] = [
        ("/org/name/raw/main/a/b.json", .raw("org/name", revision: "main", path: "a/b.json")),
        ("/name/raw/main/b.json", .raw("name", revision: "main", path: "b.json")),
        ("/name/resolve/raw/a/b.json", .file("name", revision: "raw", path: "a/b.json")),
        ("/org/raw/resolve/main/x", .file("org/raw", revision: "main", path: "x")),
        ("/api/models/org/name/discussions", .discussions("org/name")),
        ("/datasets/a/b/resolve/main/f", .otherRepository(.dataset)), ("/datasets", .otherRepository(.dataset)),
        ("/spaces/a/b", .otherRepository(.space)), ("/api/datasets/a/b/tree/main", .otherRepository(.dataset)),
        ("/api/spaces", .otherRepository(.space)), ("/api/kernels/a/b", .otherRepository(.kernel)),
        ("/v2/", .registry), ("/v2", .registry),
        ("/v2/org/name/manifests/Q4_K_M", .registryManifest("org/name", tag: "Q4_K_M")),
        ("/v2/library/name/manifests/latest", .registryManifest("name", tag: "latest")),
        ("/v2/org/name/blobs/sha256:\(zeros)", .registryBlob("org/name", .init(hex: zeros)!)),
        ("/v2/name/resolve/manifests/f", .file("v2/name", revision: "manifests", path: "f")),
        ("/v2/resolve/blobs/f", .file("v2", revision: "blobs", path: "f")),
    ]

    @Test("git's files, discussions, repositories that are no models and the registry of Ollama are distinguished")
    func others() throws {
        for (path, route) in Self.more { #expect(try Route(path) == route, "\(path)") }
    }

    private static let unknown: [(path: String, error: HubError)] = [
        ("/a/b/c/raw/main/f", .noModel), ("/org/name/raw/main/../x", .noFile(commit: nil)),
        ("/api/models/org/name/discussions/1", .noPage), ("/v2/a/b/c/manifests/latest", .noPage),
        ("/v2/org/na@me/manifests/latest", .noModel), ("/v2/org/name/blobs/\(zeros)", .noPage),
        ("/v2/org/name/blobs/sha256:00", .noPage), ("/v2/org/name/tags/list", .noPage),
    ]

    @Test("paths of the registry that name no model, tag or digest are refused")
    func unknownPaths() {
        for (path, error) in Self.unknown {
            #expect(throws: error, "\(path)") { try Route(path) }
        }
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
            ("/org/na@me/resolve/main/f", .noModel), ("/api/models/datasets/a", .noModel),
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
