import Foundation
import TestSupport
import Testing

/// The commands of the articles: each runs as it stands, or is listed here with the reason why it does not.
///
/// Paths of the machine, such as /srv and /etc, are in a directory of the test.
@Suite(.blocking) struct ArticleCommandTests {
    /// Commands that are left out, by their beginning.
    private struct Omission: Sendable {
        let beginning: String
        let reason: String
        /// The program without which they are left out; nil leaves them out on every machine.
        var program: String?

        init(_ beginning: String, _ reason: String, without program: String? = nil) {
            self.beginning = beginning
            self.reason = reason
            self.program = program
        }

        func applies(to command: String) -> Bool {
            guard command.hasPrefix(beginning) else { return false }
            return program.map { !FileManager.default.isExecutableFile(atPath: $0) } ?? true
        }
    }

    private static let omissions: [Omission] = [
        Omission("apt-get", "changes the packages of the machine; Tests/package runs it in a root of its own"),
        Omission("Sources/Command/package-deb", "needs a release build; Tests/package runs it"),
        Omission("Sources/Command/install", "needs a release build; Tests/package runs it"),
        Omission("systemctl", "needs systemd; Tests/package runs it in a root of its own"),
        Omission("useradd", "changes the users of the machine"),
        Omission("install -d -o weightstore", "needs the user weightstore"),
        Omission("podman", "needs an image"),
        Omission("umount /mnt/new", "needs a second disk"),
        Omission("rsync", "is not on every machine", without: "/usr/bin/rsync"),
        Omission("weightstore verify --store /mnt/new", "needs the copy of rsync", without: "/usr/bin/rsync"),
        Omission("weightstore verify --against", "needs the hub"),
        Omission("weightstore origin add org/name@~3 s3:", "needs a bucket"),
        Omission("weightstore origin rm org/name@~3 https:", "needs that origin"),
        Omission("weightstore policy simulate --log fleet.csv", "needs the log of a fleet"),
        Omission("weightstore load meta-llama/Llama-3.2-1B --to gpu", "needs a GPU"),
        Omission("weightstore load deepseek-ai", "needs a GPU and that model"),
        Omission("weightstore bench --device gpu", "needs a GPU"),
        Omission("weightstore warm --hold", "does not end; SignalTests ends it by a signal"),
        Omission("weightstore kv put", "needs keys and values of an engine"),
    ]

    /// Statuses other than 0 that commands end with, by their beginning.
    private static let statuses: [(beginning: String, status: Int32, reason: String)] = [
        ("weightstore evict --free 50G --policy-file", 13, "the store has less"),
        ("weightstore doctor", 15, "a shard is damaged"),
    ]

    private static let folder = "Sources/WeightStore/WeightStore.docc/"

    /// The blocks of commands of an article; of some articles, only those that contain a text.
    private static func blocks(_ article: String, containing text: String = "") throws -> [ArticleBlock] {
        let blocks = try ArticleBlock.all(in: folder + article + ".md", marked: ["bash", "sh", "crontab"])
        return blocks.filter { block in text.isEmpty || block.steps.contains { $0.command.contains(text) } }
    }

    private static func blocks() throws -> [ArticleBlock] {
        try blocks("Operating") + blocks("EvictionAndPolicies") + blocks("MemoryTiers") + blocks("KVCache")
            + blocks("FetchingAndServing", containing: "token new")
    }

    private let directory = try! TemporaryDirectory()
    private var store: String { directory("root/var/lib/weightstore") }
    private var environment: [String: String?] {
        [
            "PATH": Tool.searchPath, "HOME": directory("home"), "WEIGHTSTORE_HOME": store, "XDG_CONFIG_HOME": nil,
            "XDG_DATA_HOME": nil, "WEIGHTSTORE_TOKEN_FILE": nil, "COLUMNS": "200",
        ]
    }

    /// `sudo -u USER COMMAND` runs the command. The tool that cron starts is in PATH.
    private static let preparation = "sudo() { shift 2; \"$@\"; }"

    /// Models in a home directory and in /srv, a cache of the hub, and a store in /var/lib with a model of three versions.
    init() throws {
        for folder in [
            "root/etc/prometheus", "root/etc/systemd/system", "root/etc/weightstore", "root/backup", "root/mnt/new",
            "root/var/lib/prometheus/node-exporter", "work",
        ] {
            try FileManager.default.createDirectory(atPath: directory(folder), withIntermediateDirectories: true)
        }
        let model = TestModel(layers: 4, wide: 64)
        for path in ["home/models/Llama-3.2-1B", "root/srv/models/Llama-3.2-1B"] {
            try model.write(to: directory(path))
        }
        let commit = String(repeating: "a", count: 40)
        try directory.write(
            model.tuned(seed: 2).file(model.tensors),
            to: "home/.cache/huggingface/hub/models--org--cached/snapshots/\(commit)/model.safetensors")
        try directory.write(commit, to: "home/.cache/huggingface/hub/models--org--cached/refs/main")
        try directory.write("[1, 2, 3, 4]", to: "work/system.json")
        try directory.write(
            "SELECT shard_id FROM candidate ORDER BY last_access, shard_id", to: "work/mine.sql")
        let tool = Tool(store: store)
        for seed in 3...5 {
            try model.tuned(seed: UInt64(seed)).write(to: directory("version"))
            try #require(try tool("import", directory("version"), "--name", "org/name").status == 0)
        }
        try #require(try tool("tag", "org/name@~2", "prod").status == 0)
        try #require(
            try tool("import", directory("home/models/Llama-3.2-1B"), "--name", "meta-llama/Llama-3.2-1B").status == 0)
    }

    /// The command with the paths of the test.
    private func local(_ command: String) -> String {
        command
            .replacing(/(^|[ =>]|file:\/\/)\/(srv|var|backup|etc|mnt)\//) { match in
                "\(match.1)\(directory("root"))/\(match.2)/"
            }
            .replacing("/usr/local/bin/weightstore", with: "weightstore")
            // Accesses to simulate with.
            .replacing("weightstore record on", with: "weightstore record on && weightstore load org/name")
            // A group that exists.
            .replacing("--shared-group ml", with: "--shared-group $(id -gn)")
    }

    private func run(_ block: ArticleBlock) throws -> [ArticleBlock.Outcome] {
        try block.run(in: directory("work"), environment: environment, preparation: Self.preparation) { command in
            Self.omissions.contains { $0.applies(to: command) } ? nil : local(command)
        }
    }

    @Test("the commands of the articles work as they stand", arguments: try! Self.blocks())
    func works(block: ArticleBlock) throws {
        for outcome in try run(block) {
            let command = outcome.step.command
            let expected = Self.statuses.first { command.hasPrefix($0.beginning) }?.status ?? 0
            #expect(outcome.status == expected, "\(command)\n\(outcome.output.joined(separator: "\n"))")
        }
    }

    @Test("each command that is left out is in an article")
    func omissions() throws {
        let commands = try Self.blocks().flatMap(\.steps).map(\.command)
        for omission in Self.omissions {
            #expect(commands.contains { $0.hasPrefix(omission.beginning) }, "\(omission.beginning)")
        }
    }

    @Test("doctor prints the lines that the article Operating shows for a damaged shard")
    func doctor() throws {
        let blocks = try ArticleBlock.all(in: Self.folder + "Operating.md", marked: ["console"])
        try #require(blocks.count == 1 && blocks[0].steps.count == 1)
        // The shard of the newest version alone.
        let shards = try Tool(store: store)("tensors", "org/name@~3", "--filter", "tensor=*layers.3*q_proj*", "--json")
        let digest = try #require(try shards.list().first?["shard"] as? String)
        let blob = "\(store)/blobs/\(digest.prefix(2))/\(digest)"
        chmod(blob, 0o644)
        var bytes = try contents(blob)
        bytes[bytes.count / 2] ^= 1
        try Data(bytes).write(to: URL(fileURLWithPath: blob))
        let outcome = try #require(try run(blocks[0]).first)
        #expect(outcome.status == 15)
        let root = directory("root")
        var lines = outcome.output.map { ArticleBlock.normalized($0.replacing(root, with: "")) }[...]
        for expected in outcome.step.output.map(ArticleBlock.normalized) {
            guard let index = lines.firstIndex(of: expected) else {
                Issue.record("\(expected)\n\(outcome.output.joined(separator: "\n"))")
                continue
            }
            lines = lines[(index + 1)...]
        }
    }

    @Test("config check accepts the configuration file of the article Operating, and its table has every setting")
    func configuration() throws {
        let tool = Tool(store: store)
        let files = try ArticleBlock.all(in: Self.folder + "Operating.md", marked: ["toml"])
        try #require(files.count == 1)
        try directory.write(files[0].steps.map { $0.command + "\n" }.joined(), to: "config.toml")
        let check = try tool("config", "check", "--config", directory("config.toml"))
        #expect(check.status == 0, "\(check.errors)")
        let text = try ArticleBlock.text(of: Self.folder + "Operating.md")
        for setting in try tool("config", "show", "--json").list() {
            let key = try #require(setting["key"] as? String)
            let variables = try #require(setting["variables"] as? [String]).map { "`\($0)`" }.joined(separator: ", ")
            let summary = try #require(setting["summary"] as? String)
            #expect(
                text.contains { $0.hasPrefix("| `\(key)` | \(variables) | ") && $0.hasSuffix(" | \(summary) |") },
                "\(key)")
        }
    }
}
