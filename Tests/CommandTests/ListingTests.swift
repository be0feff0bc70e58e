import Foundation
import TestSupport
import Testing

/// Lists: sorted, filtered, limited, and as wide as the terminal.
@Suite(.blocking) struct ListingTests {
    private let directory = try! TemporaryDirectory()
    private let tool: Tool
    private let long = "organisation/a-model-with-a-very-long-name-that-no-terminal-of-80-columns-shows-whole"

    init() throws {
        tool = Tool(store: directory("store"))
        for (name, wide) in [("org/small", 8), ("org/large", 64), (long, 16)] {
            try TestModel(layers: 1, seed: UInt64(wide), wide: wide).write(to: directory(name))
            try #require(try tool("import", directory(name), "--name", name).status == 0)
        }
    }

    private func names(_ options: String...) throws -> [String] {
        try tool.run(["ls", "--json"] + options).list().compactMap { $0["name"] as? String }
    }

    @Test("rows are sorted, filtered and limited, in the table and in JSON")
    func rows() throws {
        #expect(try names("--sort", "size") == ["org/large", long, "org/small"])
        #expect(try names("--sort", "size", "--reverse", "--limit", "1") == ["org/small"])
        #expect(try names("--filter", "model=org/*", "--filter", "size>200k") == ["org/large"])
        #expect(try names("--filter", "model!=org/*") == [long])
        #expect(try names("--filter", "last-used<1d").isEmpty)
        #expect(try tool("ls", "--quiet", "--sort", "size", "--limit", "1").output == "org/large\n")
        for filter in ["size", "size>large", "model>a", "tensors=many", "nothing=1"] {
            let result = try tool("ls", "--filter", filter)
            #expect(result.status == 64 && result.errors.contains("--filter "), "\(result.errors)")
        }
        #expect(try tool("tensors", "org/small", "--filter", "layer=0", "--json").list().count == 4)
        #expect(try tool("files", "org/small", "--sort", "path", "--limit", "1").output.contains("config.json"))
    }

    @Test("a table is as wide as COLUMNS: the middle of long names is cut, unless --no-trunc is given")
    func width() throws {
        var narrow = tool
        narrow.environment["COLUMNS"] = "110"
        let cut = try narrow("ls").output
        #expect(cut.contains("…") && !cut.contains(long))
        #expect(cut.split(separator: "\n").allSatisfy { $0.count <= 110 }, "\(cut)")
        #expect(try narrow("ls", "--no-trunc").output.contains(long))
        #expect(try narrow("--no-trunc", "ls").output.contains(long))
        // Without a terminal and without COLUMNS, names are whole.
        #expect(try tool("ls").output.contains(long))
    }

    @Test("headings are bold on a terminal, and NO_COLOR turns that off")
    func colors() throws {
        var terminal = tool
        terminal.prefix = ["sh", "-c", #"script -qec "'$0' $1" /dev/null"#]
        terminal.environment["TERM"] = "xterm"
        terminal.environment["NO_COLOR"] = ""
        #expect(try terminal("ls").output.contains("\u{1B}[1mMODEL"))
        terminal.environment["NO_COLOR"] = "1"
        #expect(try !terminal("ls").output.contains("\u{1B}[1m"))
    }

    @Test("rm removes the models that match a pattern, and a pattern that matches none is an error")
    func patterns() throws {
        #expect(try tool("rm", "nobody/*").status == 2)
        let plan = try tool("rm", "org/*", "--dry-run")
        #expect(plan.output.contains("org/large@~1") && plan.output.contains("org/small@~1"), "\(plan.output)")
        #expect(try tool("rm", "org/*").status == 0)
        #expect(try names() == [long])
    }

    @Test("ls, show and status show what is stored: all, a part, nothing, or damaged")
    func stored() throws {
        let source = "file://" + directory("org/large")
        try #require(try tool("origin", "add", "org/large", source).status == 0)
        func here(_ model: String) throws -> Substring? {
            let lines = try tool("ls", model).output.split(separator: "\n")
            return lines.last?.split(separator: " ").dropFirst(4).first
        }
        #expect(try here("org/large") == "100%")
        #expect(try tool("evict", "--free", "1").status == 0)
        let part = try #require(try here("org/large"))
        #expect(part.hasSuffix("%") && part != "100%", "\(part)")
        #expect(try tool("evict", "--free", "1T").status == 13)
        // The other models have its smallest files, and no origin for them.
        #expect(try here("org/large") == "1%")
        let model = try #require(try tool("ls", "org/large", "--json").list().first)
        let (bytes, absent) = (model["bytes"] as? Int ?? 0, model["absent"] as? Int ?? 0)
        #expect(0 < absent && absent < bytes)
        // What is evicted is not saved by deduplication.
        let usage = try tool("du", "--json").object()
        func total(_ name: String) -> Int { usage[name] as? Int ?? 0 }
        let saved = total("logical") - total("absent") - (total("stored") - total("orphaned"))
        #expect(total("stored") > 0 && saved * 100 < total("logical"))
        let tensors = try tool("tensors", "org/small", "--json").list()
        let digest = try #require(tensors.first?["shard"] as? String)
        try FileManager.default.removeItem(atPath: directory("store/blobs/\(digest.prefix(2))/\(digest)"))
        #expect(try tool("verify").status == 3)
        #expect(try here("org/small") == "damaged")
        let status = try tool("status")
        #expect(status.output.contains("1 whole, 1 in part, 0 evicted, 1 damaged"), "\(status.output)")
        #expect(status.output.contains("verify     just now, exit status 3"), "\(status.output)")
        #expect(status.output.contains("gc         never ran"))
        let jobs = try tool("status", "--json").object()["jobs"] as? [[String: Any]]
        #expect(jobs?.compactMap { $0["name"] as? String } == ["evict", "verify"])
        let show = try tool("show", "org/small@main").output
        #expect(show.contains("here      damaged") && show.contains("(no layer)"), "\(show)")
    }
}
