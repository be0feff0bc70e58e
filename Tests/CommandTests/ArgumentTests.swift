import Foundation
import TestSupport
import Testing

/// The arguments of the tool: names that are misspelled, options before the command, values, help and completions.
@Suite(.blocking) struct ArgumentTests {
    private let directory = try! TemporaryDirectory()
    private let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 1, wide: 8).write(to: directory("base"))
        try #require(try tool("import", directory("base"), "--name", "org/base").status == 0)
    }

    @Test(
        "the report of an unknown name has the nearest one",
        arguments: [
            (["lst"], 64, "'ls'"), (["shwo", "org/base"], 64, "'show'"), (["fleet", "statsu"], 64, "'status'"),
            (["help", "nothing"], 64, "unknown command 'nothing'"), (["show", "org/bsae"], 2, "'org/base'"),
            (["show", "base"], 2, "'org/base'"), (["cat", "org/base@mian", "config.json"], 2, "'main'"),
            (["policy", "show", "lruu"], 2, "'lru'"), (["ls", "--sort", "sizes"], 64, "'size'"),
        ] as [([String], Int32, String)])
    func near(arguments: [String], status: Int32, text: String) throws {
        let result = try tool.run(arguments)
        #expect(result.status == status && result.errors.contains(text), "\(result.errors)")
    }

    @Test("options of all commands may stand before the command")
    func before() throws {
        let other = Tool(store: directory("nowhere"))
        #expect(try other("--store", tool.store, "ls", "--quiet").output == "org/base\n")
        #expect(try other("--store=\(tool.store)", "--json", "origin", "ls").list().isEmpty)
        #expect(try other("ls").status == 7)
    }

    @Test("a negative value is refused with the form that it must have, and the usage is the command's")
    func negative() throws {
        for (arguments, text) in [
            (["quota", "--set", "-5G"], "A size is 0 or more"), (["verify", "--sample", "-5%"], "A share is above 0"),
            (["tensors", "org/base", "--layer", "-1"], "must be between 0 and"),
            (["prune", "--keep-last", "-1"], "must be between 0 and"), (["gc", "--grace", "-1d"], "A time is"),
            (["ls", "--limit", "0"], "must be between 1 and"), (["verify", "--rate", "0"], "must be at least 1 byte"),
        ] {
            let result = try tool.run(arguments)
            #expect(result.status == 64 && result.errors.contains(text), "\(arguments): \(result.errors)")
            #expect(result.errors.contains("Usage: weightstore \(arguments[0]) "), "\(result.errors)")
        }
    }

    @Test("layers beyond those of the revision are refused with the layers that it has")
    func layers() throws {
        let result = try tool("load", "org/base", "--layers", "0-9")
        #expect(result.status == 2 && result.errors.contains("has the layer 0."), "\(result.errors)")
    }

    private struct Help: Decodable {
        struct Command: Decodable {
            let commandName: String
            let discussion: String?
            let subcommands: [Command]?
        }
        let command: Command
    }

    @Test("the help of every command has an example")
    func examples() throws {
        let dump = try tool("--experimental-dump-help")
        let help = try JSONDecoder().decode(Help.self, from: Data(dump.bytes))
        var commands = 0
        func check(_ command: Help.Command, _ path: String) {
            commands += 1
            let isHelp = command.commandName == "help"
            #expect(isHelp || command.discussion?.contains("\n  weightstore ") == true, "\(path)")
            for next in command.subcommands ?? [] { check(next, "\(path) \(next.commandName)") }
        }
        for command in help.command.subcommands ?? [] { check(command, command.commandName) }
        #expect(commands > 50)
    }

    @Test("completions know the models, revisions, refs and policies of the store")
    func completions() throws {
        func complete(_ words: String..., argument: String) throws -> [Substring] {
            let prefix = words.last ?? ""
            let index = "\(words.count - 1)"
            var shell = tool
            shell.environment["SAP_SHELL"] = "bash"
            let result = try shell.run(
                ["---completion"] + words.dropFirst().filter { !$0.isEmpty && !$0.hasPrefix("org") } + ["--", argument]
                    + [index, "\(prefix.count)"] + words)
            return result.output.split(separator: "\n")
        }
        #expect(try complete("weightstore", "show", "", argument: "positional@0").contains("org/base"))
        #expect(try complete("weightstore", "show", "org/base@", argument: "positional@0").contains("org/base@main"))
        #expect(try complete("weightstore", "policy", "show", "", argument: "positional@0").contains("gdsf"))
    }

    @Test("version shows the commit, the schema, SQLite and the platform, and with --verbose the packages")
    func version() throws {
        let short = try tool("version")
        #expect(short.output.contains("weightstore 0.") && short.output.contains("SQLite      3."), "\(short.output)")
        #expect(short.output.contains("Linux") && !short.output.contains("swift-nio"))
        let facts = try tool("version", "--verbose", "--json").object()
        #expect(facts["schema"] as? Int == 1 && facts["catalogSchema"] as? Int ?? 0 > 10)
        let packages = try #require(facts["packages"] as? [[String: Any]])
        #expect(packages.contains { $0["name"] as? String == "swift-argument-parser" })
    }
}
