import Foundation
import TestSupport
import Testing

/// `kv`, `quota --kind kv`, `evict --kind kv` and `policy simulate` on requests, as an operator runs them.
@Suite(.blocking) struct KVCommandTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 1, wide: 8).write(to: directory("base"))
        let result = try tool("import", directory("base"), "--name", "org/base")
        #expect(result.status == 0)
        try directory.write((0..<40).flatMap { withUnsafeBytes(of: UInt32($0).littleEndian, Array.init) }, to: "tokens")
        try directory.write((0..<10_000).map { UInt8(truncatingIfNeeded: $0 / 1000) }, to: "blocks")
        try directory.write("salt of a", to: "a")
    }

    private func put(_ more: String...) throws -> Tool.Result {
        try tool.run(
            [
                "kv", "put", "org/base", directory("tokens"), directory("blocks"), "--format", "f16", "--block-tokens",
                "4",
            ] + more)
    }

    private func get(_ more: String...) throws -> Tool.Result {
        try tool.run(
            ["kv", "get", "org/base", directory("tokens"), directory("got"), "--format", "f16", "--block-tokens", "4"]
                + more)
    }

    @Test(
        "blocks that were put are read byte for byte, by their tenant alone; ls and stats show them, and never the salt"
    )
    func transfer() throws {
        #expect(try put("--tenant-file", directory("a"), "--json").object()["stored"] as? Int == 10)
        #expect(try put("--tenant-file", directory("a")).output.contains("0 KV blocks stored, 0 B; 10 already stored"))
        #expect(try get().status == 2)
        #expect(try get("--tenant-file", directory("a")).output.contains("10 KV blocks, 40 tokens"))
        #expect(try contents(directory("got")) == contents(directory("blocks")))
        let spaces = try tool("kv", "ls", "--json").list()
        #expect(
            spaces.count == 1 && spaces[0]["longest"] as? Int == 40 && spaces[0]["revision"] as? String == "org/base@~1"
        )
        let listed = try tool("kv", "ls", "org/*")
        #expect(listed.output.contains("f16") && !listed.output.contains("salt"))
        #expect(try tool("kv", "ls", "other/*").output.split(separator: "\n").count == 1)
        #expect(try tool("kv", "stats", "--json").object()["blocks"] as? Int == 10)
        #expect(try tool("stats").output.contains("10 blocks"))
        #expect(try tool("du").output.contains("of KV blocks"))
        #expect(try tool("verify").output.contains("all intact"))
        try directory.write([1, 2, 3], to: "odd")
        let odd = try tool(
            "kv", "put", "org/base", directory("odd"), directory("blocks"), "--format", "f16", "--block-tokens", "4")
        #expect(odd.status == 6 && odd.errors.contains("multiple of 4"))
        #expect(
            try tool(
                "kv", "put", "org/nobody", directory("tokens"), directory("blocks"), "--format", "f", "--block-tokens",
                "4"
            ).status == 2)
    }

    @Test("KV blocks have their own quota, eviction and drop, each with a dry run that changes nothing")
    func evicting() throws {
        _ = try put()
        #expect(
            try tool("quota", "--kind", "kv", "--set", "1M", "--policy", "lfu").output.contains(
                "1.00 MB, eviction by lfu"))
        #expect(try tool("quota").output.contains("quota      none"))
        #expect(
            try tool("quota", "--kind", "kv", "--set", "none", "--policy", "tail", "--json").object()["blocks"] as? Int
                == 10)
        let dry = try tool("evict", "--kind", "kv", "--free", "3k", "--dry-run")
        #expect(dry.output.contains("would be evicted") && dry.output.contains("10 KV blocks"))
        #expect(try tool("evict", "--kind", "kv", "--free", "3k", "--json").object()["shards"] as? Int == 3)
        #expect(try get().output.contains("7 KV blocks"))
        #expect(try tool("policy", "explain", "tail", "--kind", "kv").output.contains("DEPTH"))
        #expect(try tool("evict", "--kind", "kv").output.isEmpty)
        #expect(try tool("kv", "drop").status == 64)
        #expect(try tool("kv", "drop", "--all", "--dry-run").output.contains("7 KV blocks would be dropped"))
        #expect(try tool("kv", "drop", "org/base", "--older-than", "1h").output.contains("0 KV blocks dropped"))
        #expect(try tool("kv", "drop", "org/base", "--json").object()["blocks"] as? Int == 7)
        #expect(try get().status == 2)
        _ = try put()
        #expect(try tool("rm", "org/base").output.contains("with 10 KV blocks"))
        #expect(try tool("gc").output.isEmpty)
    }

    @Test("policy simulate draws hit ratios of requests for prefixes, without a store")
    func simulate() throws {
        let lines = (0..<200).map { number in
            "{\"timestamp\": \(number * 100), \"hash_ids\": [0, 1, \(2 + number % 5), \(10 + number)]}\n"
        }
        try directory.write(lines.joined(), to: "trace.jsonl")
        var elsewhere = Tool(store: directory("nowhere"))
        elsewhere.environment = [:]
        let drawn = try elsewhere.run([
            "policy", "simulate", "--log", directory("trace.jsonl"), "--policy", "lru,tail", "--block-size", "1M",
            "--quota", "3M,50M,1G",
            "--plot", directory("curve.svg"),
        ])
        #expect(drawn.status == 0, "\(drawn.errors)")
        #expect(drawn.output.contains("block hit ratio") && drawn.output.contains("(block hit ratio)"))
        #expect(
            String(decoding: try contents(directory("curve.svg")), as: UTF8.self).contains("Block hit ratio"))
        let curve = try elsewhere(
            "policy", "simulate", "--log", directory("trace.jsonl"), "--policy", "lru", "--quota", "1T", "--json"
        ).object()
        let line = try #require((curve["lines"] as? [[String: Any]])?.first)
        let point = try #require((line["points"] as? [[String: Any]])?.first)
        // 800 accesses to 207 blocks.
        #expect(abs((point["missRatio"] as? Double ?? 0) - 207.0 / 800) < 1e-9)
    }
}
