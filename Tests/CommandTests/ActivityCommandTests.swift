import Foundation
import GRDB
import Glibc
import TestSupport
import Testing

/// `events` and `top`, as an operator runs them.
@Suite(.blocking) struct ActivityCommandTests {
    private let directory = try! TemporaryDirectory()
    private let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 1).write(to: directory("base"))
        try #require(try tool("import", directory("base"), "--name", "org/base").status == 0)
    }

    @Test("events lists what happened, as a table and as JSON, and chooses by kind, model and time")
    func events() throws {
        let table = try tool("events")
        #expect(
            table.status == 0 && table.output.contains("org/base@~1") && table.output.contains("weightstore import"))
        let all = try tool("events", "--json").list()
        #expect(all.compactMap { $0["kind"] as? String }.sorted() == ["import", "ref"])
        #expect(try tool("events", "--kind", "import", "--json").list().count == 1)
        #expect(try tool("events", "--model", "org/*", "--since", "1h", "--json").list().count == 2)
        #expect(try tool("events", "--model", "other/*").output.isEmpty)
        #expect(try tool("events", "--limit", "1", "--json").list().count == 1)
        #expect(try tool("events", "--kind", "nothing").status == 64)
        #expect(try tool("events", "--limit", "0").status == 64)
    }

    @Test("the count of an event has its noun in the table, and is a number in the JSON")
    func counts() throws {
        try #require(try tool("rm", "org/base").status == 0)
        #expect(try tool("events", "--kind", "remove").output.contains("1 revision"))
        #expect(try tool("events", "--kind", "remove", "--json").list().map { $0["count"] as? Int } == [1])
    }

    @Test("control characters of an event's texts do not reach the terminal")
    func controls() throws {
        let queue = try DatabaseQueue(path: tool.store + "/store.db")
        try queue.write { db in
            try db.execute(
                sql: "UPDATE event SET detail = ?", arguments: ["a\u{1B}[2Jb\r\nc\u{9B}d"])
        }
        try queue.close()
        #expect(try tool("events").output.contains("a?[2Jb??c?d"))
    }

    @Test("events -f prints later events, and ends with status 0 at SIGTERM")
    func follow() throws {
        let output = directory("followed")
        let running = try ChildProcess(
            [Tool.path, "events", "-f", "--json"], environment: ["WEIGHTSTORE_HOME": tool.store], output: .file(output))
        func printed(_ count: Int) throws -> Bool {
            try blockUntil { (try? contents(output))?.count { $0 == UInt8(ascii: "\n") } ?? 0 == count }
        }
        #expect(try printed(2))
        #expect(try tool("tag", "org/base", "prod").status == 0)
        #expect(try printed(3))
        running.signal(SIGTERM)
        #expect(running.result().status == 0)
    }

    @Test("top without a terminal prints one table, and with --json the living processes")
    func top() throws {
        let answer = try tool("top", "--json").object()
        #expect(answer["disk"] != nil && (answer["processes"] as? [Any])?.isEmpty == true)
        let table = try tool("top")
        #expect(table.status == 0 && table.output.contains("No other process"))
    }

    @Test("top shows the tiers of a process that holds a model, and what it holds")
    func tiers() throws {
        let running = try tool.start(["load", "org/base", "--hold"])
        let shown = try blockUntil {
            let processes = try tool("top", "--json").object()["processes"] as? [[String: Any]]
            return (processes?.first?["tiers"] as? [Any])?.isEmpty == false
        }
        #expect(shown)
        let table = try tool("top", "--once").output
        #expect(table.contains("ram") && table.contains("org/base@~1") && table.contains("weightstore load"))
        running.signal(SIGTERM)
        _ = running.result()
    }

    @Test("bench does not count as use")
    func bench() throws {
        let uses = try tool("ls", "--json").list().first?["accesses"] as? Int
        #expect(try tool("bench", "org/base", "--runs", "1").status == 0)
        #expect(try tool("ls", "--json").list().first?["accesses"] as? Int == uses)
    }
}
