import Foundation
import TestSupport
import Testing

/// `prompt add`, `ls` and `rm`.
@Suite(.blocking) struct PromptCommandTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 1).write(to: directory("model"))
        #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
    }

    private func names() throws -> [String] {
        try tool("prompt", "ls", "--json").list().compactMap { $0["name"] as? String }
    }

    @Test("prompts are read from a file, a pipe or standard input, and are listed, renamed, replaced and removed")
    func life() throws {
        try directory.write("[1, 2, 3, 4294967295]", to: "a.json")
        try directory.write(#"{"input_ids": [5, 6], "attention_mask": [1, 1]}"#, to: "b.json")
        let first = try tool("prompt", "add", "org/model", directory("a.json"), "--name", "system", "--json").object()
        #expect(
            first["tokens"] as? Int == 4 && first["accesses"] as? Int == 0
                && first["expectedUses"] as? Double ?? 0 > 0.99)
        #expect(try tool("prompt", "add", "org/model", directory("b.json")).output.contains("2 tokens"))
        var piped = tool
        piped.prefix = ["sh", "-c", #"echo '{"tokens": [7]}' | "$0" "$@""#]
        #expect(try piped("prompt", "add", "org/model", "-", "--name", "piped").output == "org/model piped: 1 token\n")
        // More than a pipe holds at once.
        var substituted = tool
        substituted.prefix = ["bash", "-c", #""$0" "$@" <(seq -s, 1 50000 | sed 's/.*/[&]/')"#]
        #expect(
            try substituted("prompt", "add", "org/model", "--name", "many").output == "org/model many: 50000 tokens\n")
        #expect(try tool("prompt", "rm", "org/model", "many").status == 0)
        #expect(try Set(names()).isSuperset(of: ["system", "piped"]) && names().count == 3)
        // The same tokens are the same prompt; the same name for others replaces it.
        #expect(try tool("prompt", "add", "org/model", directory("a.json"), "--name", "greeting").status == 0)
        #expect(try names().contains("greeting") && !names().contains("system"))
        #expect(try tool("prompt", "add", "org/model", directory("b.json"), "--name", "greeting").status == 0)
        #expect(try names().sorted() == ["greeting", "piped"])
        #expect(try tool("prompt", "ls", "org/model").output.contains("never"))
        #expect(try tool("prompt", "rm", "org/model", "piped").status == 0)
        #expect(try names() == ["greeting"])
        #expect(try tool("prompt", "rm", "org/model", "piped").status == 2)
    }

    @Test("a prompt that was just added has no uses, was never used, and is expected to be used once")
    func unused() throws {
        try directory.write("[1, 2, 3, 4]", to: "a.json")
        #expect(try tool("prompt", "add", "org/model", directory("a.json"), "--name", "system").status == 0)
        let lines = try tool("prompt", "ls").output.split(separator: "\n").map {
            $0.split(separator: " ").map(String.init)
        }
        #expect(lines[0] == ["MODEL", "PROMPT", "TOKENS", "USES", "LAST", "USED", "EXPECTED"])
        #expect(lines[1] == ["org/model", "system", "4", "0", "never", "1"])
    }

    @Test("input that is no list of tokens, and a prompt without a model, are refused by name")
    func refused() throws {
        for (text, name) in [
            ("[1, -2]", "negative"), ("[1.5]", "fraction"), ("[]", "empty"), ("{}", "object"), ("hello", "text"),
        ] {
            try directory.write(text, to: name)
            let result = try tool("prompt", "add", "org/model", directory(name))
            #expect(result.status == 6, "\(name)")
            #expect(result.errors.contains("token"), "\(name): \(result.errors)")
        }
        #expect(try tool("prompt", "add", "org/model", directory("nowhere")).status == 2)
        try directory.write("[1]", to: "one")
        #expect(try tool("prompt", "add", "org/other", directory("one")).status == 2)
        #expect(try tool("prompt", "add", "org/model", directory("one"), "--name", "a b").status == 6)
        #expect(try tool("prompt", "ls", "org/other").status == 2)
    }

    @Test("prompts survive a rebuild, and are removed with their model")
    func rebuild() throws {
        let tokens = (0..<5000).map { UInt32($0 * 7919) }
        try directory.write("\(tokens)", to: "long")
        #expect(try tool("prompt", "add", "org/model", directory("long"), "--name", "long").status == 0)
        let before = try tool("prompt", "ls", "--json").list()
        for suffix in ["", "-wal", "-shm"] {
            try? FileManager.default.removeItem(atPath: directory("store/store.db\(suffix)"))
        }
        #expect(try tool("rebuild").output.contains("1 prompt,"))
        let after = try tool("prompt", "ls", "--json").list()
        #expect(after.map { $0["digest"] as? String } == before.map { $0["digest"] as? String })
        #expect(after.map { $0["tokens"] as? Int } == [5000])
        #expect(try tool("rm", "org/model").status == 0)
        #expect(try names().isEmpty)
    }
}
