import Foundation
import GRDB
import Storage
import TestSupport
import Testing
import WeightStore

@testable import Server

/// The pages for people, as a browser or a script reads them.
@Suite(.blocking)
struct DashboardTests {
    /// A ref may have these characters, unlike a model's name.
    private static let hostile = "<script>alert(1)</script>\"'&"

    @Test("the overview shows tiers, models and links to the costly sections, and makes no request elsewhere")
    func overview() async throws {
        let server = try await TestServer.shared.value
        let page = try await server.get("/")
        #expect(page.status == 200 && page["content-type"] == "text/html; charset=utf-8")
        let text = page.text
        #expect(text.hasPrefix("<!doctype html>") && text.contains("<html lang=\"en\">"))
        for part in [
            "id=\"tiers-body\"", "id=\"activity-body\"", "id=\"models-body\"", "data-load=\"/disk?part=1\"",
            "data-load=\"/sizing?part=1\"",
        ] {
            #expect(text.contains(part), "\(part)")
        }
        #expect(!text.contains("id=\"fleet-body\""))
        let models = try await server.get("/models").text
        #expect(models.contains("href=\"/models/org/tuned\""))
        #expect(models.contains("<a href=\"/models\" aria-current=\"page\">Models</a>"))
        #expect(
            !text.contains("src=") && !text.contains("@import") && !text.contains(" style=")
                && !text.contains(" onclick"))
        let addresses = text.matches(of: /(?:href|action)="([^"]*)"/).map { String($0.1) }
        #expect(addresses.allSatisfy { $0.hasPrefix("/") || $0.hasPrefix("#") || $0.hasPrefix("data:image/svg+xml,") })
    }

    @Test("the policy of a page allows its own style and script by their digests, and no other")
    func policy() async throws {
        let server = try await TestServer.shared.value
        for path in ["/", "/models/org/base", "/disk", "/sizing", "/tiers"] {
            let page = try await server.get(path)
            #expect(page.status == 200, "\(path)")
            let policy = try #require(page["content-security-policy"])
            #expect(policy.hasPrefix("default-src 'none'; ") && !policy.contains("unsafe"))
            for (directive, open, close) in [
                ("style-src", "<style>", "</style>"), ("script-src", "<script type=\"module\">", "</script>"),
            ] {
                let content = try #require(
                    page.text.components(separatedBy: open).last?.components(separatedBy: close).first)
                let digest = Array(content.utf8).withUnsafeBytes { ContentDigest(of: $0) }
                let bytes = digest.hex.indices.filter { $0.utf16Offset(in: digest.hex) % 2 == 0 }.compactMap { start in
                    UInt8(digest.hex[start...].prefix(2), radix: 16)
                }
                #expect(bytes.count == 32)
                #expect(
                    policy.contains("\(directive) 'sha256-\(Data(bytes).base64EncodedString())'"),
                    "\(path) \(directive)")
            }
            #expect(page["x-content-type-options"] == "nosniff" && page["referrer-policy"] == "no-referrer")
            #expect(page["cross-origin-resource-policy"] == "same-origin" && page["cache-control"] == "no-store")
        }
    }

    @Test("a ref, a pin's note and a search that look like markup are text")
    func escaping() async throws {
        let server = try await TestServer()
        try await onThread {
            try server.store.setRef(Self.hostile, to: "org/base")
            try server.store.pin("org/base", note: Self.hostile)
        }
        let query = Self.hostile.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? ""
        for path in [
            "/models", "/models/org/base", "/models?q=\(query)", "/?q=\(query)&part=rows", "/disk?model=org/base",
        ] {
            let text = try await server.get(path).text
            #expect(!text.contains("<script>alert"), "\(path)")
            #expect(
                path.hasPrefix("/disk") || text.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;"),
                "\(path)")
        }
        let rows = try await server.get("/api/weightstore/models").object()["models"] as? [[String: Any]]
        #expect(rows?.contains { ($0["refs"] as? [String])?.contains(Self.hostile) == true } == true)
    }

    @Test("only literals of the program become markup")
    func builder() {
        let name = "</td><b onclick='x'>\u{202E}\u{7}"
        let html: HTML = "<td title=\"\(name)\">\(name)\(HTML(name)) \(3) \(1.5)</td>"
        let escaped = "&lt;/td&gt;&lt;b onclick=&#39;x&#39;&gt;\u{FFFD}\u{FFFD}"
        #expect(html.text == "<td title=\"\(escaped)\">\(escaped)\(escaped) 3 1.5</td>")
    }

    @Test("the table of models is searched, sorted and paged by the query alone")
    func selection() {
        let rows = (0..<120).map { number in
            ModelRow(
                name: "org/m\(number)", version: 1, revisions: 1, refs: number == 7 ? ["prod"] : ["main"],
                isPinned: false,
                bytes: number * 10, absent: number % 2 == 0 ? 0 : 5, damaged: 0, layers: 1, uses: 0, lastUse: nil,
                stored: 0)
        }
        let bySize = ModelSelection(order: .size, isDescending: true).apply(to: rows)
        #expect(bySize.rows.first?.name == "org/m119" && bySize.matches == 120 && bySize.pages == 3)
        #expect(ModelSelection(order: .size, page: 99).apply(to: rows).rows.last?.name == "org/m119")
        #expect(ModelSelection(search: "PROD").apply(to: rows).rows.map(\.name) == ["org/m7"])
        #expect(ModelSelection(search: "org/m1 partial").apply(to: rows).rows.allSatisfy { $0.state == "partial" })
        #expect(
            ModelSelection(search: "a&b", order: .size, isDescending: true).query(page: 2)
                == "/?q=a%26b&sort=size&dir=desc&page=2")
        #expect(ModelSelection().query() == "/")
    }

    @Test("a page of a thousand models is small, and lists fifty of them")
    func thousandModels() {
        let rows = (0..<1000).map { number in
            ModelRow(
                name: "organization-\(number)/a-model-with-a-long-name-\(number)", version: 3, revisions: 3,
                refs: ["main", "prod"], isPinned: true, bytes: number << 30, absent: number << 20, damaged: 0,
                layers: 80, uses: number, lastUse: 1, stored: 1)
        }
        let html = ModelSection.html(rows, ModelSelection()).text
        #expect(html.utf8.count < 100_000 && html.matches(of: /<tr>/).count == 51)
        let tiles = rows.map { row in
            MapLevel.Tile(
                name: row.name, detail: "", bytes: row.bytes + 1, absent: row.absent, heat: 1, isShared: false,
                link: "/")
        }
        let level = MapLevel(title: "All models", path: [], tiles: Array(tiles.prefix(240)), merged: 0)
        #expect(MapSection.html(level).text.utf8.count < 250_000)
    }

    @Test("the page of a model has versions with what differs, layers, origins and what its removal frees")
    func model() async throws {
        let server = try await TestServer()
        try await onThread {
            try TestServer.base.tuned(seed: 9).write(to: server.directory("again"))
            try server.store.importModelBlocking(ImportRequest(source: server.directory("again"), name: "org/base"))
        }
        let details = try await server.get("/api/weightstore/details/org/base").object()
        let versions = try #require(details["versions"] as? [[String: Any]])
        #expect(versions.map { $0["name"] as? String } == ["~2", "~1"])
        #expect(versions[0]["added"] as? Int ?? 0 > 0 && versions[0]["dropped"] as? Int ?? 0 > 0)
        #expect(versions[1]["added"] == nil)
        let layers = try #require(details["layers"] as? [[String: Any]])
        #expect(layers.map { $0["name"] as? String } == ["0", "1", "outside layers"])
        #expect(layers.allSatisfy { $0["onDisk"] as? Int == $0["bytes"] as? Int })
        let freed = try await onThread { try server.store.remove(["org/base"], dryRun: true).bytes }
        #expect(details["frees"] as? Int == freed)
        let page = try await server.get("/models/org/base").text
        #expect(
            page.contains("Differs from the one before")
                && page.contains("No origin: this store has the only known copy"))
        #expect(try await server.get("/models/org/nowhere").status == 404)
    }

    @Test(
        "a layer that another process has leased is in RAM on the page of its model, and the process is listed with it")
    func residentLayer() async throws {
        let server = try await TestServer()
        let user = try await onThread { try Store(at: server.directory("store")) }
        let lease = try await onThread { try user.revision("org/tuned").leaseBlocking(layer: 1, in: .ram) }
        func details() async throws -> [String: Any] {
            try await server.get("/api/weightstore/details/org/tuned").object()
        }
        func layers() async throws -> [[String: Any]] { try await details()["layers"] as? [[String: Any]] ?? [] }
        // The other store writes its statistics every second.
        let isShown = try await eventually {
            try await layers().contains {
                $0["name"] as? String == "1" && ($0["resident"] as? [String: Int])?["ram"] == $0["bytes"] as? Int
            }
        }
        #expect(isShown)
        #expect(
            try await layers().filter { ($0["resident"] as? [String: Int])?["ram"] == nil }.map {
                $0["name"] as? String
            }
                == ["0", "outside layers"])
        let uses = try await details()["uses"] as? [[String: Any]]
        #expect(uses?.compactMap { $0["layers"] as? [String] } == [["RAM: layer 1"]])
        let page = try await server.get("/models/org/tuned").text
        #expect(page.matches(of: /class="cell place-ram"/).count == 1 && page.contains("RAM: layer 1"))
        withExtendedLifetime(lease) {}
    }

    @Test("the map goes from models to layers to shards, and draws shared bytes once")
    func map() async throws {
        let server = try await TestServer.shared.value
        let models = try await server.get("/api/weightstore/disk").object()
        let tiles = try #require(models["tiles"] as? [[String: Any]])
        let stored = try await onThread { try server.store.stats().stored }
        #expect(tiles.reduce(0) { $0 + ($1["bytes"] as? Int ?? 0) } == stored)
        #expect(
            tiles.contains {
                $0["isShared"] as? Bool == true && ($0["detail"] as? String)?.contains("org/base") == true
            })
        let layers = try await server.get("/api/weightstore/disk?model=org/base").object()
        #expect((layers["tiles"] as? [[String: Any]])?.contains { $0["name"] as? String == "layer 1" } == true)
        let shards = try await server.get("/disk?model=org/base&layer=1")
        #expect(shards.status == 200 && shards.text.contains("aria-current=\"true\">layer 1"))
        #expect(try await server.get("/disk?model=org/base&layer=none").text.contains("outside layers"))
        let next = try await server.get("/api/weightstore/disk?from=1").object()["tiles"] as? [[String: Any]]
        #expect(next?.count == tiles.count - 1)
        #expect(try await server.get("/disk?from=x").status == 404)
        #expect(try await server.get("/disk?from=1000").status == 404)
        for layer in ["first", "-1", "99999999999999999999"] {
            #expect(try await server.get("/disk?model=org/base&layer=\(layer)").status == 404)
        }
        #expect(try await server.get("/disk?model=org/nowhere").status == 404)
    }

    @Test("the map of a layer names the tensors and files of its shards")
    func tensors() async throws {
        let server = try await TestServer.shared.value
        func names(_ layer: String) async throws -> [String] {
            let level = try await server.get("/api/weightstore/disk?model=org/base&layer=\(layer)").object()
            return (level["tiles"] as? [[String: Any]] ?? []).compactMap { $0["name"] as? String }
        }
        let tensors = try await onThread {
            try server.store.revision("org/base").tensorEntries(layer: 1).map(\.name)
        }
        let shown = try await names("1")
        #expect(!shown.isEmpty && shown.allSatisfy { name in tensors.contains { name.hasPrefix($0) } }, "\(shown)")
        #expect(try await names("none").contains("config.json"))
    }

    @Test(
        "a catalog that cannot be read: the page, its sections and a model's page show the reason, with the status of a failure"
    )
    func unreadable() async throws {
        let server = try await TestServer()
        let catalog = server.directory("store/store.db")
        try await onThread {
            try DatabaseQueue(path: catalog).write { db in
                try db.execute(sql: "PRAGMA legacy_alter_table = ON; ALTER TABLE model RENAME TO lost")
            }
        }
        for path in ["/models", "/models/org/base", "/models?part=rows"] {
            let page = try await server.get(path)
            #expect([500, 503].contains(page.status) && page["content-type"] == "text/html; charset=utf-8", "\(path)")
            #expect(page.text.contains("This part cannot be read") && page.text.contains("no such table"), "\(path)")
            #expect(page.text.hasPrefix("<!doctype html>") != path.contains("part="), "\(path)")
        }
        let overview = try await server.get("/").text
        #expect(overview.contains("id=\"models-body\"") && overview.contains("This part cannot be read"))
        #expect(try await [500, 503].contains(server.get("/api/weightstore/models").status))
        #expect(server.log.lines.contains { $0.hasPrefix("error /models: ") })
    }

    @Test("the reason of a failure is text, without the secrets of its URLs")
    func reason() {
        let failure = FetchError.disconnected(url: "https://me:word@hub.example/<b>", reason: "no route", attempts: 1)
        let text = FailureSection.html(failure).text
        #expect(text.contains("hub.example/&lt;b&gt;") && !text.contains("word"))
    }

    @Test("the updates are events with sections, and end when the server stops")
    func updates() async throws {
        let server = try await TestServer()
        let connection = try await server.connect()
        try await onThread {
            try connection.send(TestServer.request("GET", "/api/weightstore/updates", [:]))
            var text = ""
            while !text.contains("tiers-body") || !text.contains("event: section") {
                let bytes = try connection.receive()
                try #require(!bytes.isEmpty, "closed after \(text)")
                text += String(decoding: bytes, as: UTF8.self)
            }
            #expect(text.hasPrefix("HTTP/1.1 200") && text.lowercased().contains("content-type: text/event-stream"))
            #expect(text.contains("retry: 3000"))
        }
        try await server.stop()
        try await onThread { while try !connection.receive().isEmpty {} }
    }

    @Test("a change of the models is reported to those who listen")
    func changes() async throws {
        let server = try await TestServer()
        let connection = try await server.connect()
        try await onThread {
            try connection.send(TestServer.request("GET", "/api/weightstore/updates", [:]))
            var text = ""
            func wait(for part: String) throws {
                while !text.contains(part) {
                    let bytes = try connection.receive()
                    try #require(!bytes.isEmpty, "closed after \(text)")
                    text += String(decoding: bytes, as: UTF8.self)
                }
            }
            try wait(for: "events-body")
            // The stream has read the models before it looks again.
            try server.store.setRef("first", to: "org/base")
            try server.store.setRef("second", to: "org/tuned")
            try wait(for: "event: models")
        }
    }

    @Test("the updates of a model are its page while a process has a layer of it in RAM, then without, then removed")
    func modelUpdates() async throws {
        let server = try await TestServer()
        let connection = try await server.connect()
        try await onThread {
            try connection.send(TestServer.request("GET", "/api/weightstore/updates?model=org/tuned", [:]))
            var (all, unread) = ("", "")
            /// Reads up to the end of the next occurrence of a part.
            func wait(for part: String) throws {
                while true {
                    if let found = unread.firstRange(of: part) {
                        unread.removeSubrange(..<found.upperBound)
                        return
                    }
                    let bytes = try connection.receive()
                    try #require(!bytes.isEmpty, "closed after \(all)")
                    let text = String(decoding: bytes, as: UTF8.self)
                    all += text
                    unread += text
                }
            }
            try wait(for: "No process uses it now.")
            do {
                let user = try Store(at: server.directory("store"))
                let lease = try user.revision("org/tuned").leaseBlocking(layer: 1, in: .ram)
                try wait(for: "cell place-ram")
                try wait(for: "RAM: layer 1")
                withExtendedLifetime((user, lease)) {}
            }
            try wait(for: "No process uses it now.")
            #expect(all.contains("model-body") && !all.contains("tiers-body") && !all.contains("event: models"))
            try Store(at: server.directory("store")).remove(["org/tuned"])
            try wait(for: "The model was removed.")
        }
    }

    @Test("where a layer is: the fastest tier that has all of it, with the names of all that have it")
    func places() {
        func cell(_ resident: [String: Int], onDisk: Int = 100) -> ModelDetails.Cell {
            .init(name: "3", bytes: 100, onDisk: onDisk, resident: resident, experts: 0)
        }
        #expect(cell([:]).place == .disk && cell([:], onDisk: 0).place == .absent)
        #expect(cell(["ram": 99], onDisk: 99).place == .part)
        #expect(cell(["ram": 100, "cuda:0": 99]).tiers == ["ram"])
        let both = cell(["ram": 100, "host": 5, "cuda:1": 100], onDisk: 0)
        #expect(both.place == .device && both.tiers == ["cuda:1", "ram"])
        let layers = [both, cell(["ram": 100]), cell([:])]
        let details = ModelDetails(
            name: "org/m", bytes: 300, versions: [], olderVersions: 0, layers: layers, origins: [], uses: [],
            events: [],
            frees: nil, removalNote: nil, shared: 0)
        let html = ModelPage.body(details).text
        #expect(html.contains("in GPU 1, RAM<") && html.contains("in RAM<") && html.contains("on disk<"))
        #expect(html.matches(of: /class="cell place-device"/).count == 1)
    }

    @Test("the dashboard needs a token that reads everything, as Basic, too")
    func token() async throws {
        var options = ServerOptions()
        options.tokens = [try AccessToken("word", source: "test")]
        let server = try await TestServer(options)
        let basic = "Basic " + Data("me:word".utf8).base64EncodedString()
        for path in ["/", "/disk", "/models/org/base", "/api/weightstore/tiers", "/api/weightstore/updates"] {
            let refused = try await server.get(path)
            #expect(refused.status == 401 && refused["www-authenticate"]?.contains("Basic realm") == true, "\(path)")
        }
        #expect(try await server.get("/", ["Authorization": basic]).status == 200)
        #expect(try await server.get("/models/org/base", ["Authorization": basic]).status == 200)
    }

    @Test(
        "the line of an event has its count with the noun",
        arguments: [
            (EventKind.evicted, "disk", 1, "1 shard"), (.evicted, "kv", 2, "2 KV blocks"),
            (.fetched, "org/base", 3, "3 shards"), (.removed, "org/base@~1", 1, "1 revision"),
            (.collected, "", 2, "2 items"),
        ])
    func counts(kind: EventKind, subject: String, count: Int, text: String) {
        let line = EventLine(StoreEvent(kind, subject, bytes: 4100, count: count, detail: "by lru")).text
        #expect(line.hasPrefix("\(subject.isEmpty ? "the store" : subject) · 4.10 kB · \(text) · by lru"), "\(line)")
    }

    @Test("a node shows its fleet: versions, lag and bytes to go")
    func fleet() async throws {
        var options = ServerOptions()
        options.fleet = {
            FleetOverview(
                origin: "s3://weights",
                nodes: [
                    .init(
                        name: "a", url: "peer+http://10.0.0.1", changes: "watch", failure: nil,
                        holdings: [.init(name: "org/base@prod", wanted: 7, held: 5, missing: 3_000_000_000)]),
                    .init(name: "<b>", url: "peer+http://10.0.0.2", changes: nil, failure: nil, holdings: []),
                ])
        }
        let server = try await TestServer(options)
        #expect(try await server.get("/").text.contains("data-load=\"/fleet?part=1\""))
        let text = try await server.get("/fleet").text
        #expect(text.contains("~5 → ~7") && text.contains("3.00 GB to go, 2 versions behind"))
        #expect(text.contains("&lt;b&gt;") && text.contains("has not reported yet"))
        let other = try await TestServer.shared.value
        #expect(try await other.get("/fleet").status == 404)
    }
}
