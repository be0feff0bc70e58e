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
        try write("[serve]\nport = 8001\n[log]\nlevel = \"debug\"\nformat = \"json\"\n")
        #expect(try tool("config", "check").output.contains("valid"))
    }

    @Test("every form of TOML gives the same values, and each has the line of its key")
    func forms() throws {
        try write(
            """
            store.path = '/srv/a\\b' # a literal text
            fleet = { etcd = ["http://a:1", 'http://b:2'], origin = "s3://bucket" }
            [ "serve" ]
            upstream = \"""
            [hub]
            endpoint = 1\"""
            tls-key = '''/etc/key'''
            port = 0x1F_40

            [hub]
            endpoint = "http://h\\u00e9"
            """)
        var tool = tool
        tool.environment["HF_ENDPOINT"] = ""
        let rows = try tool("config", "show", "--json").list()
        let shown = Dictionary(
            uniqueKeysWithValues: rows.compactMap { row in
                (row["key"] as? String).map { ($0, [row["value"], row["source"]].map { $0 as? String ?? "" }) }
            })
        let file = directory("home/.config/weightstore/config.toml")
        for (key, value, line) in [
            ("store.path", "/srv/a\\b", 1), ("fleet.etcd", "http://a:1,http://b:2", 2),
            ("fleet.origin", "s3://bucket", 2),
            ("serve.upstream", "[hub]\nendpoint = 1", 4), ("serve.tls-key", "/etc/key", 7), ("serve.port", "8000", 8),
            ("hub.endpoint", "http://hé", 11),
        ] {
            #expect(shown[key] == [value, "\(file), line \(line)"], "\(key)")
        }
        #expect(try tool("config", "check").status == 0)
    }

    @Test(
        "a file that is no TOML is refused with its line",
        arguments: [
            ("[store\n", 1), ("path\n", 1), ("[store]\r\npath = \r\n", 2), ("[store]\npath = \"a\n", 2),
            ("a = 1\na = 2\n", 2),
            ("[store]\npath = \"a\"\n\n[store]\n", 4), ("[store]\npath = \"a\\u0000b\"\n", 2), ("# \0\n", 1),
        ])
    func malformed(text: String, line: Int) throws {
        try write(text)
        for command in [["config", "check"], ["families"]] {
            let result = try tool.run(command)
            #expect(result.status == 6 && result.errors.contains("config.toml, line \(line)\""), "\(result.errors)")
        }
    }

    @Test(
        "a value of another type is refused with its line, and with what it must be",
        arguments: [
            ("[store]\r\npath = 1979-05-27\r\n", 2, "store.path must be a text in quotes, not a date"),
            ("[hub]\n\ntoken = 07:32:00\n", 3, "hub.token must be a text in quotes, not a time"),
            (
                "serve = { port = 80.5 }\n", 1,
                "serve.port must be a number between 0 and 65535, not a number with a fraction"
            ),
            ("[fleet]\netcd = [\"a\", 1]\n", 2, "fleet.etcd must be a text in quotes, not a list with something else"),
            ("[store.path]\nname = 1\n", 1, "store.path must be a text in quotes, not a table"),
            ("[network]\ninsecure = \"yes\"\n", 2, "network.insecure must be true or false"),
        ])
    func types(text: String, line: Int, reason: String) throws {
        try write(text)
        let result = try tool("families")
        #expect(
            result.status == 6 && result.errors.contains("line \(line)") && result.errors.contains(reason),
            "\(result.errors)")
        let problems = try tool("config", "check", "--json").list()
        #expect(problems.count == 1 && problems.first?["line"] as? Int == line)
    }

    @Test("a key in quotes with a point in it is another key, and a deeper key is none")
    func keys() throws {
        try write("\"store.path\" = \"/srv\"\n[log.file]\npath = \"x\"\n")
        #expect(try setting("store.path")?["source"] as? String == "default")
        let problems = try tool("config", "check", "--json").list()
        #expect(problems.map { $0["key"] as? String } == ["\"store.path\"", "log.file"])
    }

    @Test("a file of another encoding, or beyond 64 KiB, is refused")
    func bounds() throws {
        try write(String(repeating: "#", count: 1 << 16))
        #expect(try tool("families").status == 0)
        try write(String(repeating: "#", count: 1 << 16 + 1))
        #expect(try tool("families").status != 0)
        try directory.write([0x61, 0x3D, 0x22, 0xFF, 0x22] as [UInt8], to: "latin.toml")
        let result = try tool("families", "--config", directory("latin.toml"))
        #expect(result.status == 6 && result.errors.contains("UTF-8"))
        // As deep as a file can be, and deeper.
        try write(Array(repeating: "a", count: 4097).joined(separator: ".") + " = 1\n")
        #expect(try tool("families").status == 0)
        try write(Array(repeating: "a", count: 32_000).joined(separator: ".") + " = 1\n")
        let deep = try tool("families")
        #expect(deep.status == 6 && deep.errors.contains("31999 points"), "\(deep.status) \(deep.errors)")
    }

    @Test("the file that --config names must exist")
    func missing() throws {
        #expect(try tool("families", "--config", directory("nothing.toml")).status != 0)
    }
}
