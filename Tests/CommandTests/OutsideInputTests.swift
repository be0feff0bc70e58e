import Foundation
import TestSupport
import Testing

/// Input from users and sources: the tool ends with a message and an exit status, never with a signal.
@Suite(.blocking) struct OutsideInputTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 2).write(to: directory("base"))
        try #require(try tool("import", directory("base"), "--name", "org/base").status == 0)
    }

    @Test(
        "extreme arguments are refused or carried out",
        arguments: [
            (["evict", "--free", "5000P"], 13), (["evict", "--free", "9223P"], 13),
            (["evict", "--free", "9223P", "--kind", "kv"], 13), (["evict", "--free", "9224P"], 64),
            (["evict", "--free", "\u{FF15}G"], 64), (["evict", "--free", "-5G"], 64), (["quota", "--set", "-5G"], 64),
            (["tensors", "org/base", "--layer", "-1"], 64), (["prune", "--keep-last", "-1"], 64),
            (["verify", "--rate", "0"], 64), (["gc", "--grace", "99999d"], 0),
            (["gc", "--grace", "9223372036854775807s"], 64), (["gc", "--grace", "9223372036854775807w"], 64),
            (["load", "org/base", "--layers", "0-9223372036854775807"], 2),
            (["load", "org/base", "--layers", "0-9223372036854775808"], 64),
            (["load", "org/base", "--layers", "\u{FF10}"], 64),
            (["load", "org/base", "--budget", "9223P"], 0),
            (["show", "org/base@\u{FF11}\u{FF12}\u{FF13}\u{FF14}\u{FF15}\u{FF16}"], 2),
            (["show", "org/base@v\u{FF11}"], 2),
            (["cat", "org/base", "\u{301}"], 2), (["ls", "\u{301}"], 0), (["tag", "org/base", "\u{FF11}"], 6),
            (["pull", "org/\u{301}"], 6), (["quota", "--set", "9223P"], 0), (["quota", "--set", "0"], 64),
            (["prune", "--older-than", "99999d", "--dry-run"], 0),
            (["policy", "simulate", "--points", "9223372036854775807"], 64),
            (["verify", "--rate", "9223P"], 0),
        ] as [([String], Int32)])
    func extremes(arguments: [String], status: Int32) throws {
        let result = try tool.run(arguments)
        #expect(result.status == status, "\(result.errors)")
    }

    @Test("a directory that is no model is imported with --any alone, and the message says so")
    func noModel() throws {
        try directory.write("root:x:0:0", to: "etc/passwd")
        try directory.write("127.0.0.1 localhost", to: "etc/hosts")
        let refused = try tool("import", directory("etc"), "--name", "org/etc")
        #expect(refused.status == 6)
        #expect(refused.errors.contains("--any") && refused.errors.contains("2 files"))
        #expect(try !tool("ls").output.contains("org/etc"))
        #expect(try tool("import", directory("etc"), "--dry-run").errors.contains("--any"))
        #expect(try tool("import", directory("etc"), "--name", "org/etc", "--any").status == 0)
        #expect(try tool("cat", "org/etc", "passwd").output == "root:x:0:0")
        // Without tensors there is nothing to load, and the error says so.
        let load = try tool("load", "org/etc")
        #expect(load.status == 2 && load.errors.contains("None of its files has tensors"), "\(load.errors)")
        // One file is given on purpose.
        #expect(try tool("import", directory("etc/passwd"), "--name", "org/one").status == 0)
    }

    @Test("on a terminal, a directory that is no model is imported only after a yes", arguments: ["n", "y"])
    func question(answer: String) throws {
        try directory.write("root:x:0:0", to: "etc/passwd")
        // `script` gives the tool a terminal, and types the answer.
        let result = try ChildProcess.run(
            [
                "sh", "-c", #"echo "$1" | script -qec "'$2' import '$3' --name org/etc" /dev/null"#, "sh", answer,
                Tool.path, directory("etc"),
            ], environment: ["WEIGHTSTORE_HOME": tool.store])
        #expect(result.output.contains("[y/N]"), "\(result.output)")
        #expect(try tool("ls").output.contains("org/etc") == (answer == "y"))
    }

    @Test("an interrupted move is continued even if the remaining files are no model")
    func movedRest() throws {
        try TestModel(layers: 1).write(to: directory("moved"))
        #expect(try tool("import", directory("moved"), "--name", "org/moved", "--move").status == 0)
        #expect(try tool("import", directory("moved"), "--name", "org/moved", "--move").status != 132)
    }

    @Test("an index of 2 TB is refused with a message")
    func sparseIndex() throws {
        try TestModel(layers: 1).write(to: directory("sparse"))
        let path = try directory.write("", to: "sparse/model.safetensors.index.json")
        try FileHandle(forWritingTo: URL(fileURLWithPath: path)).truncate(atOffset: 2 << 40)
        let result = try tool("import", directory("sparse"))
        #expect(result.status == 6)
        #expect(result.errors.contains("larger than"))
    }
}
