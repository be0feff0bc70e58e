import Foundation
import TestSupport
import Testing

/// Configuration files, the environment and options.
@Suite(.blocking) struct SettingsTests {
    private let directory = try! TemporaryDirectory()
    private let tool: Tool

    init() throws {
        var tool = Tool(store: "")
        tool.environment = [
            "HOME": directory("home"), "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": "", "WEIGHTSTORE_ORIGIN": "",
            "HF_TOKEN": "",
        ]
        self.tool = tool
        try TestModel(layers: 1, wide: 8).write(to: directory("base"))
    }

    private func write(_ text: String, to path: String = "home/.config/weightstore/config.toml") throws {
        try directory.write(text, to: path)
    }

    private func setting(_ key: String, _ options: String...) throws -> [String: Any]? {
        try tool.run(["config", "show", "--json"] + options).list().first { $0["key"] as? String == key }
    }

    @Test("an option wins over the environment, the environment over the file, and the file over the default")
    func order() throws {
        #expect(try setting("store.path")?["source"] as? String == "default")
        try write("# the store\n[store]\npath = \"\(directory("one"))\" # here\n")
        #expect(try tool("import", directory("base"), "--name", "org/base").status == 0)
        #expect(FileManager.default.fileExists(atPath: directory("one/store.db")))
        #expect((try setting("store.path")?["source"] as? String)?.hasSuffix("config.toml, line 3") == true)
        try write("[store]\npath = '\(directory("two"))'\n", to: "other.toml")
        #expect(try tool("ls", "--config", directory("other.toml")).status == 7)
        #expect(try tool("--config", directory("other.toml"), "ls", "--store", directory("one")).status == 0)
        var other = Tool(store: directory("three"))
        other.environment = tool.environment
        #expect(try other("ls").status == 7)
        #expect(try other("ls", "--store", directory("one")).status == 0)
    }

    @Test("config show hides secrets, and names the variable that gives a value")
    func secrets() throws {
        try write("[hub]\ntoken = \"hf_secret\"\n[fleet]\netcd = [\"http://a:1\", \"http://b:2\"]\n")
        let shown = try tool("config", "show")
        #expect(!shown.output.contains("hf_secret") && shown.output.contains("***"))
        #expect(try setting("fleet.etcd")?["value"] as? String == "http://a:1,http://b:2")
        var other = tool
        other.environment["WEIGHTSTORE_ETCD"] = "http://c:3"
        let etcd = try other("config", "show", "--json").list().first { $0["key"] as? String == "fleet.etcd" }
        #expect(etcd?["source"] as? String == "$WEIGHTSTORE_ETCD")
    }

    @Test("config check finds unknown keys and values of another form; other commands refuse the values alone")
    func check() throws {
        #expect(try tool("config", "check").output.contains("no configuration file"))
        try write("[store]\npaht = \"/srv\"\n[serve]\nport = 8001\n")
        let unknown = try tool("config", "check")
        #expect(
            unknown.status == 6
                && unknown.errors.contains("line 2: store.paht: unknown key. Did you mean 'store.path'?"))
        #expect(try tool("families").status == 0)
        try write("[serve]\nport = \"many\"\n")
        for command in [["config", "check"], ["families"]] {
            let result = try tool.run(command)
            #expect(result.status == 6 && result.errors.contains("a number between 0 and 65535"), "\(result.errors)")
        }
        try write("[store]\npaht = \"/srv\"\n[serve]\nport = \"many\"\n[log]\nlevel = \"loud\"\n")
        let several = try tool("config", "check", "--json")
        #expect(several.status == 6)
        #expect(try several.list().map { $0["line"] as? Int } == [2, 4, 6], "\(several.output)")
        for text in ["[store\n", "path\n", "[store]\npath = \n", "[store]\npath = \"a\n", "a = 1\na = 2\n"] {
            try write(text)
            #expect(try tool("families").status == 6, "\(text)")
        }
        try write("[serve]\nport = 8001\n[log]\nlevel = \"debug\"\nformat = \"json\"\n")
        #expect(try tool("config", "check").output.contains("valid"))
    }

    @Test("the file that --config names must exist")
    func missing() throws {
        #expect(try tool("families", "--config", directory("nothing.toml")).status != 0)
    }
}
