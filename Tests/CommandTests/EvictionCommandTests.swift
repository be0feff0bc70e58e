import Foundation
import TestSupport
import Testing

/// `quota`, `evict`, `policy`, `record` and `gc --quota`, as an operator and cron run them.
@Suite(.blocking) struct EvictionCommandTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 2).write(to: directory("base"))
        let result = try tool("import", directory("base"), "--origin", "file://\(directory("base"))")
        #expect(result.status == 0)
        try TestModel(layers: 2, seed: 8).write(to: directory("local"))
        #expect(try tool("import", directory("local")).status == 0)
    }

    private func stored() throws -> Int { try tool("quota", "--json").object()["bytes"] as? Int ?? -1 }

    @Test("pin reports the shards that were evicted")
    func pin() throws {
        #expect(try tool("evict", "--free", "1T").status == 13)
        let result = try tool("pin", "base")
        #expect(result.status == 0 && (result.output + result.errors).contains("not stored"), "\(result.output)")
    }

    @Test("evict frees the requested bytes, reports it in one line, and names what must not be evicted")
    func evict() throws {
        let before = try stored()
        let planned = try tool("evict", "--free", "3M", "--dry-run")
        #expect(
            planned.output.contains("would be evicted") && planned.output.contains("a holder has no checked origin"))
        #expect(try stored() == before)
        let done = try tool("evict", "--tier", "disk", "--free", "3M", "--policy", "gdsf")
        #expect(done.output.split(separator: "\n").count == 1)
        #expect(try stored() <= before - 3_000_000)
        #expect(try tool("cat", "base", "model.safetensors").bytes == contents(directory("base/model.safetensors")))
        // A shard that no origin has is not evicted, however many bytes are requested.
        let all = try tool("evict", "--free", "1T", "--json").object()
        #expect(all["bytes"] as? Int ?? 0 > 0)
        #expect(try tool("cat", "local", "model.safetensors").bytes == contents(directory("local/model.safetensors")))
        #expect(try tool("evict", "--tier", "ram", "--free", "1M").status == 64)
        #expect(try tool("evict").output.isEmpty)
    }

    @Test("the quota is kept, and gc --quota evicts down to its own quota; a second run is silent")
    func quota() throws {
        #expect(try tool("quota", "--set", "200G", "--high", "90%", "--low", "80%", "--policy", "gdsf").status == 0)
        #expect(try tool("quota").output.contains("eviction by gdsf from 90% down to 80%"))
        #expect(try tool("quota", "--policy", "nobody").status == 2)
        #expect(try tool("quota", "--low", "95%").status == 6)
        let target = try stored() - 2_000_000
        let first = try tool("gc", "--quota", "\(target)", "--policy", "lfu")
        #expect(first.status == 0)
        #expect(first.output.contains("evicted"))
        #expect(try stored() <= target)
        #expect(try tool("gc", "--quota", "\(target)", "--policy", "lfu").output.isEmpty)
        #expect(try tool("quota", "--set", "none", "--json").object()["quota"] != nil)
        #expect(try tool("gc", "--policy", "lfu").status == 64)
    }

    @Test("a server brings the store below a lowered quota without a fetch")
    func lowered() throws {
        let server = try ServeProcess(tool.store, log: directory("log"))
        let quota = try stored() - 2_000_000
        #expect(try tool("quota", "--set", "\(quota)").status == 0)
        let isBelow = try blockUntil {
            usleep(200_000)
            return try stored() <= quota * 95 / 100
        }
        #expect(isBelow, "\(server.logText)")
        for model in ["base", "local"] {
            let cat = try tool("cat", model, "model.safetensors")
            #expect(try cat.bytes == contents(directory("\(model)/model.safetensors")))
        }
        server.end()
    }

    @Test("policies are listed, shown, checked and explained")
    func policies() throws {
        #expect(try tool("policy", "ls").output.contains("gdsf"))
        #expect(try tool("policy", "show", "lru").output.contains("ORDER BY last_access, shard_id"))
        try directory.write("SELECT shard_id\nFROM nowhere\n", to: "bad.sql")
        let bad = try tool("policy", "check", directory("bad.sql"))
        #expect(bad.status == 6)
        #expect(bad.errors.contains("line 2") || bad.errors.contains("no such table"))
        try directory.write("SELECT shard_id FROM candidate ORDER BY bytes\n", to: "store/policies/mine.sql")
        #expect(try tool("policy", "check").output.contains("mine.sql: valid"))
        let explained = try tool("policy", "explain", "lru", "--first", "2", "--json").object()
        #expect((explained["plan"] as? [String])?.first?.contains("candidate_by_last_access") == true)
        #expect((explained["victims"] as? [Any])?.count == 2)
        let refused = try tool("evict", "--free", "1M", "--policy-file", directory("bad.sql"))
        #expect(refused.status == 0)
        #expect(refused.errors.contains("Policy lru is used instead"))
    }

    @Test("a record is replayed, in numbers, drawn, and as SVG; a trace needs no store")
    func simulate() throws {
        #expect(try tool("policy", "simulate").status == 2)
        #expect(try tool("record", "on").output.contains("on"))
        for _ in 0..<2 { #expect(try tool("cat", "base", "model.safetensors").status == 0) }
        #expect(try tool("record", "off").status == 0)
        let curve = try tool(
            "policy", "simulate", "--policy", "lru,gdsf", "--points", "3", "--plot", directory("c.svg"), "--json"
        ).object()
        #expect((curve["lines"] as? [[String: Any]])?.compactMap { $0["name"] as? String } == ["lru", "gdsf", "bound"])
        let svg = String(decoding: try contents(directory("c.svg")), as: UTF8.self)
        #expect(svg.hasPrefix("<svg") && svg.contains("gdsf"))
        #expect(throws: Never.self) { try XMLDocumentCheck.parse(svg) }
        try directory.write("0,a,10\n1,b,20\n2,a,10\n", to: "trace.csv")
        let alone = Tool(store: directory("no-store"))
        let drawn = try alone(
            "policy", "simulate", "--log", directory("trace.csv"), "--quota", "10,30", "--policy", "lru")
        #expect(drawn.status == 0)
        #expect(drawn.output.contains("66.67%"))
    }
}

/// Whether elements are closed in order.
private enum XMLDocumentCheck {
    struct Malformed: Error {}

    static func parse(_ text: String) throws {
        var open: [Substring] = []
        for part in text.split(separator: "<").dropFirst(0) {
            guard let end = part.firstIndex(of: ">") else { throw Malformed() }
            let tag = part[..<end]
            if tag.hasSuffix("/") { continue }
            if tag.hasPrefix("/") {
                guard open.popLast() == tag.dropFirst() else { throw Malformed() }
            } else {
                open.append(tag.prefix { $0 != " " })
            }
        }
        if !open.isEmpty { throw Malformed() }
    }
}
