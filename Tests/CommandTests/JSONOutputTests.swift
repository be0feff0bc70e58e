import Foundation
import TestSupport
import Testing

/// JSON for programs: answers, errors, messages and progress.
@Suite(.blocking) struct JSONOutputTests {
    private let directory = try! TemporaryDirectory()
    private let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 1, wide: 8).write(to: directory("base"))
        try #require(try tool("import", directory("base"), "--name", "org/base").status == 0)
    }

    private func lines(_ text: String) throws -> [[String: Any]] {
        try text.split(separator: "\n").map {
            try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
    }

    @Test("objects have the number of the schema, and lists their elements alone")
    func schema() throws {
        for arguments in [["stats"], ["du"], ["show", "org/base"], ["quota"], ["status"]] {
            #expect(try tool.run(arguments + ["--json"]).object()["schema"] as? Int == 1, "\(arguments)")
        }
        #expect(try tool("ls", "--json").list().allSatisfy { $0["schema"] == nil })
    }

    @Test("with --json an error is an object on standard error, and standard output is empty")
    func errors() throws {
        for (arguments, code, status) in [
            (["show", "org/nobody"], "notFound", 2), (["frobnicate"], "usage", 64),
            (["ls", "--sort", "x"], "usage", 64),
            (["quota", "--set", "many"], "usage", 64), (["pull", "org/x", "--origin", "az://x"], "badInput", 6),
        ] as [([String], String, Int)] {
            let result = try tool.run(arguments + ["--json"])
            let error = try #require(try lines(result.errors).last?["error"] as? [String: Any], "\(result.errors)")
            #expect(error["code"] as? String == code && error["status"] as? Int == status, "\(error)")
            #expect((error["message"] as? String)?.isEmpty == false && result.output.isEmpty)
            #expect(Int(result.status) == status)
        }
    }

    @Test("--progress json writes objects with amounts, one at the end of the call")
    func progress() throws {
        try TestModel(layers: 1, seed: 5).write(to: directory("next"))
        let result = try tool("import", directory("next"), "--name", "org/next", "--progress", "json")
        let last = try #require(try lines(result.errors).last?["progress"] as? [String: Any])
        #expect(last["unit"] as? String == "bytes")
        let done = (last["done"] as? Int ?? 0) + (last["skipped"] as? Int ?? 0)
        #expect(done > 0 && last["total"] as? Int ?? 0 > 0, "\(last)")
        #expect(try tool("import", directory("next"), "--progress", "always").status == 64)
    }

    @Test("the failure of a fetch is reported once")
    func once() throws {
        let tool = Tool(store: directory("other"))
        let origin = "file://" + directory("nowhere")
        #expect(try tool("import", directory("base"), "--name", "org/base", "--origin", origin, "--trust").status == 0)
        #expect(try tool("evict", "--free", "1T").status == 13)
        let result = try tool("load", "org/base")
        #expect(result.status != 0)
        #expect(result.errors.split(separator: "\n").filter { $0.contains("could not return shard") }.count == 1)
    }

    @Test("a long wait reports at the interval of --progress, without a terminal")
    func silence() throws {
        let server = try SilentServer()
        let log = directory("log")
        let process = try ChildProcess(
            [
                Tool.path, "pull", "org/x", "--origin", server.url, "--progress", "1s", "--store", tool.store,
            ], errors: .file(log))
        let isReported = try blockUntil { try String(contentsOfFile: log, encoding: .utf8).contains("started  org/x") }
        #expect(isReported)
        process.signal(SIGTERM)
        #expect(process.wait() == 130)
    }
}
