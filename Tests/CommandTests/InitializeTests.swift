import Foundation
import Glibc
import TestSupport
import Testing

/// `weightstore init`, and the modes of a store's files.
@Suite(.blocking) struct InitializeTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() { tool = Tool(store: directory("store")) }

    @Test("init sets the quota before the first import, and repeating it changes nothing")
    func quota() throws {
        try TestModel(layers: 2).write(to: directory("model"))
        let made = try tool("init", "--quota", "1M", "--json").object()
        #expect((made["quota"] as? [String: Any])?["bytes"] as? Int == 1_000_000)
        #expect(try tool("import", directory("model")).status == 5)
        #expect(try tool("init").status == 0)
        #expect(try tool("quota").output.contains("1.00 MB"))
        #expect(try tool("init", "--quota", "none").status == 0)
        #expect(try tool("import", directory("model")).status == 0)
        #expect(try tool("init").status == 0)
        #expect(try tool("ls", "--quiet").output == "model\n")
    }

    @Test("an unknown group is refused")
    func unknownGroup() throws {
        let result = try tool("init", "--shared-group", "no-such-group")
        #expect(result.status == 2 && result.errors.contains("no-such-group: no such group"), "\(result.errors)")
    }

    @Test(
        "modes of blobs and directories follow the umask, so weights are as private as it requires",
        arguments: ["077", "027"])
    func umask(_ mask: String) throws {
        try TestModel(layers: 2).write(to: directory("model"))
        var tool = tool
        tool.prefix = ["/bin/sh", "-c", "umask \(mask); exec \"$@\"", "sh"]
        for arguments in [
            ["import", directory("model")], ["record", "on"], ["load", "model"], ["gc"], ["tag", "model", "prod"],
            ["evict", "--free", "1M"], ["export", "model", directory("out")],
        ] {
            // Nothing has an origin.
            #expect(try tool.run(arguments).status == (arguments[0] == "evict" ? 13 : 0), "\(arguments)")
        }
        for place in [tool.store, directory("out")] {
            #expect(try ChildProcess.check("find", place, "-perm", "/\(mask)") == "")
        }
        // A blob is never written again.
        #expect(try ChildProcess.check("find", tool.store + "/blobs", "-type", "f", "-perm", "/222") == "")
    }
}
