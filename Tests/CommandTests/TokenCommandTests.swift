import Foundation
import Glibc
import TestSupport
import Testing

/// `weightstore token`.
@Suite(.blocking) struct TokenCommandTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() throws { tool = Tool(store: directory("store")) }

    private func mode(_ path: String) -> mode_t {
        var facts = Glibc.stat()
        return stat(path, &facts) == 0 ? facts.st_mode & 0o777 : 0
    }

    @Test("a token is printed once, and its file, which has the digest alone, belongs to its owner alone")
    func new() throws {
        let file = directory("tokens")
        let made = try tool("token", "new", "laptop", "--token-file", file)
        let token = made.output.trimmingCharacters(in: .whitespacesAndNewlines)
        #expect(made.status == 0 && token.contains(/^hf_[A-Za-z0-9]+$/))
        #expect(!made.errors.contains(token))
        let text = String(decoding: try contents(file), as: UTF8.self)
        #expect(text.contains(/^sha256:[0-9a-f]{64} laptop read [0-9]+\n$/) && !text.contains(token))
        #expect(mode(file) == 0o600)
        let json = try tool("token", "new", "prometheus", "--scope", "metrics", "--token-file", file, "--json")
        let answer = try json.object()
        #expect(answer["scope"] as? String == "metrics" && answer["name"] as? String == "prometheus")
        let listed = try tool("token", "ls", "--token-file", file)
        #expect(listed.output.contains("laptop") && listed.output.contains("metrics"))
        let list = try #require(try tool("token", "ls", "--token-file", file, "--json").json() as? [[String: Any]])
        #expect(list.map { $0["name"] as? String } == ["laptop", "prometheus"])
        #expect(!listed.output.contains(token))
        let again = try tool("token", "new", "laptop", "--token-file", file)
        #expect(again.status == 6 && again.errors.contains("the file has a token of this name"))
        #expect(try tool("token", "new", "x", "--scope", "write", "--token-file", file).status == 64)
        #expect(try tool("token", "new", "a b", "--token-file", file).status == 6)
        #expect(try tool("token", "ls").status == 64)
    }

    @Test("patterns of models are in the file and in the list, and only a token that reads has them")
    func models() throws {
        let file = directory("tokens")
        let made = try tool("token", "new", "lab", "--models", "org/*", "--models", "*/llama-?", "--token-file", file)
        #expect(made.status == 0)
        #expect(String(decoding: try contents(file), as: UTF8.self).contains(/lab read [0-9]+ org\/\*,\*\/llama-\?\n$/))
        #expect(try tool("token", "ls", "--token-file", file).output.contains("org/*,*/llama-?"))
        let list = try #require(try tool("token", "ls", "--token-file", file, "--json").json() as? [[String: Any]])
        #expect(list.first?["models"] as? [String] == ["org/*", "*/llama-?"])
        for pattern in ["", "a b", "a,b", "ä"] {
            #expect(try tool("token", "new", "x", "--models", pattern, "--token-file", file).status == 6, "\(pattern)")
        }
        let scope = try tool("token", "new", "x", "--models", "a", "--scope", "metrics", "--token-file", file)
        #expect(scope.status == 6 && scope.errors.contains("only a token of the scope \"read\""))
    }

    @Test("rm removes one token, keeps the others and a token that is in the file as it is, and follows a link")
    func remove() throws {
        try directory.write("old-token\n", to: "real/tokens")
        chmod(directory("real/tokens"), 0o644)
        symlink(directory("real/tokens"), directory("link"))
        var tool = tool
        tool.environment["WEIGHTSTORE_TOKEN_FILE"] = directory("link")
        for name in ["a", "b"] { #expect(try tool("token", "new", name).status == 0) }
        #expect(mode(directory("real/tokens")) == 0o600)
        let before = String(decoding: try contents(directory("real/tokens")), as: UTF8.self)
        #expect(before.hasPrefix("old-token\nsha256:"))
        #expect(try tool("token", "rm", "a").status == 0)
        let after = String(decoding: try contents(directory("real/tokens")), as: UTF8.self)
        #expect(after == before.split(separator: "\n").filter { !$0.contains(" a ") }.map { $0 + "\n" }.joined())
        let absent = try tool("token", "rm", "a")
        #expect(absent.status == 2 && absent.errors.contains("weightstore token ls"))
        // Nothing else is left behind.
        #expect(TemporaryDirectory.files(below: directory("real")) == ["tokens"])
    }

    @Test("a file that is no file of tokens is left as it is")
    func foreign() throws {
        let file = try directory.write("a text of\nseveral words\n", to: "notes")
        let refused = try tool("token", "new", "a", "--token-file", file)
        #expect(refused.status == 6 && refused.errors.contains("line 1"))
        #expect(String(decoding: try contents(file), as: UTF8.self) == "a text of\nseveral words\n")
    }
}
