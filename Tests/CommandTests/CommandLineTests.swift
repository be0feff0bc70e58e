import Foundation
import TestSupport
import Testing

/// The command-line tool, each time in its own process, as a user runs it.
@Suite(.blocking) struct CommandLineTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 2).write(to: directory("base"))
        try TestModel(layers: 2).tuned(seed: 4).write(to: directory("tuned"))
    }

    private func importBoth() throws {
        #expect(try tool("import", directory("base"), "--name", "org/base").status == 0)
        #expect(try tool("import", directory("tuned"), "--name", "org/tuned").status == 0)
    }

    @Test("an imported model is listed, shown and exported")
    func importAndExport() throws {
        try importBoth()
        let list = try tool("ls")
        #expect(list.output.contains("org/base") && list.output.contains("org/tuned") && list.output.contains(" ~1 "))
        #expect(list.errors.isEmpty)
        #expect(try tool("ls", "--quiet", "org/b*").output == "org/base\n")
        #expect(try tool("show", "org/base").output.contains("\n~1 "))
        #expect(try tool("show", "org/base@main").output.contains("model.layers.1"))
        let file = try contents(directory("base/model.safetensors"))
        #expect(try tool("cat", "org/base", "model.safetensors").bytes == file)
        #expect(try tool("cat", "org/base", "config.json").output == "{\"model_type\": \"test\"}\n")
        #expect(try tool("export", "org/tuned", directory("out")).status == 0)
        #expect(try contents(directory("out/model.safetensors")) == contents(directory("tuned/model.safetensors")))
    }

    @Test("help shows a default as a user types it")
    func defaults() throws {
        func help(_ arguments: String...) throws -> String {
            try tool.run(arguments + ["--help"]).output.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
        }
        #expect(try help("gc").contains("(default: 1d)"))
        #expect(try help("fleet", "gc").contains("(default: 1d)"))
        #expect(try help("node").contains("(default: 5s)"))
        let simulate = try help("policy", "simulate")
        #expect(simulate.contains("(default: 64MiB)"))
        #expect(try help("serve").contains("(default: 5%)"))
    }

    @Test("files show the SHA-256 that sha256sum shows")
    func digests() throws {
        try importBoth()
        let files = try tool("files", "org/base", "--json").list()
        #expect(files.count == 3)
        for file in files {
            let output = try ChildProcess.check("sha256sum", directory("base/\(file["path"]!)"))
            #expect(output.hasPrefix(file["digest"] as? String ?? "none"))
        }
    }

    @Test("a layer's tensors are listed, and each has the digest of its bytes")
    func tensors() throws {
        try importBoth()
        let layer = try tool("tensors", "org/base", "--layer", "1", "--json").list()
        #expect(layer.count == 4)
        #expect(layer.allSatisfy { $0["layer"] as? Int == 1 })
        let digests = try tool("tensors", "org/base", "--layer", "1", "--digests").output
        let name = "model.layers.1.self_attn.q_proj.weight"
        let bytes = try tool("cat", "--tensor", "org/base", name).bytes
        #expect(bytes.count == 1 << 20)
        #expect(digests.split(separator: "\n").count == 4)
        #expect(digests.contains(name))
        #expect(try tool("tensors", "org/base", "--layer", "7").status == 2)
    }

    @Test("every command that prints a result also prints it as JSON")
    func json() throws {
        #expect(
            try tool("import", directory("base"), "--name", "org/base", "--json").object()["written"] as? Int ?? 0 > 0)
        for command in [
            ["ls"], ["show", "org/base"], ["show", "org/base@~1"], ["files", "org/base"], ["tensors", "org/base"],
            ["tensors", "org/base", "--digests"], ["du"], ["stats"], ["tag", "org/base", "prod"],
            ["untag", "org/base@prod"], ["pin", "org/base"], ["unpin", "org/base"], ["verify"], ["gc"],
            ["prune", "--dry-run"], ["rm", "org/base", "--dry-run"], ["families"],
            ["export", "org/base", directory("out")], ["import", directory("base"), "--dry-run"], ["rebuild"],
            ["rm", "org/base"],
        ] {
            let result = try tool.run(command + ["--json"])
            #expect(result.status == 0, "\(command): \(result.errors)")
            #expect(throws: Never.self, "\(command)") { try result.json() }
        }
    }

    @Test("each kind of failure has its own exit status, and a message that names what failed")
    func exitStatus() throws {
        #expect(try tool("ls").status == 7)
        try importBoth()
        let unknown = try tool("show", "org/nobody")
        #expect(unknown.status == 2)
        #expect(unknown.errors.contains("org/nobody: no such model"))
        #expect(try tool("cat", "org/base", "nothing").status == 2)
        #expect(try tool("cat", "--tensor", "org/base", "nothing").status == 2)
        #expect(try tool("import", directory("nowhere")).status == 2)
        try directory.write("not a header", to: "bad/model.safetensors")
        let bad = try tool("import", directory("bad"))
        #expect(bad.status == 6)
        #expect(bad.errors.contains(directory("bad/model.safetensors")))
        #expect(try tool("pin", "org/base", "--note", "in production").status == 0)
        let pinned = try tool("rm", "org/base")
        #expect(pinned.status == 4)
        #expect(pinned.errors.contains("in production"))
        #expect(try tool("frobnicate").status == 64)
        #expect(try tool("verify", "--sample", "200%").status == 64)
        #expect(try tool("gc", "--grace", "soon").status == 64)
        #expect(try tool("export", "org/base", directory("base")).status == 6)
        let help = try tool("--help").output
        for status in ["2 no such", "3 stored", "4 pinned", "5 disk", "6 invalid", "7 no store", "64 wrong", "130"] {
            #expect(help.contains(status.split(separator: " ")[0]), "\(status)")
        }
    }

    @Test("an export writes the files that match a pattern, or all but the weights")
    func exportOfSomeFiles() throws {
        try importBoth()
        #expect(try tool("export", "org/base", directory("one"), "--include", "*.txt").status == 0)
        #expect(TemporaryDirectory.files(below: directory("one")) == ["tokenizer/vocab.txt"])
        #expect(try tool("export", "org/base", directory("small"), "--no-weights").status == 0)
        let all = TemporaryDirectory.files(below: directory("base"))
        let small = all.filter { !$0.hasSuffix(".safetensors") }
        #expect(TemporaryDirectory.files(below: directory("small")) == small && small.count < all.count)
        #expect(try tool("export", "org/base", directory("none"), "--include", "*.none").status == 2)
        #expect(try tool("export", "org/base", directory("none"), "config.json", "--no-weights").status == 64)
    }

    @Test("wrong usage that a command finds while it runs is reported with the usage of that command")
    func usage() throws {
        for (arguments, usage) in [
            (["untag", "nonsense"], "untag"), (["kv", "drop"], "kv drop"),
            (["generate", "x", "--like", "none"], "generate"),
        ] {
            let result = try tool.run(arguments)
            #expect(result.status == 64, "\(arguments): \(result.errors)")
            #expect(
                result.errors.contains("Usage: weightstore \(usage) ")
                    && result.errors.contains("'weightstore \(usage) --help'"), "\(result.errors)")
        }
    }

    @Test(
        "a bad URL of an origin is invalid input, and credentials that are missing or cannot be sent have their own status"
    )
    func badOrigins() throws {
        try #require(try tool("import", directory("base"), "--name", "org/base").status == 0)
        for url in ["az://box/model", "nonsense", "https://", "s3://", "peer+nothing://x", "peer+https://"] {
            for arguments in [
                ["origin", "add", "org/base", url], ["pull", "org/x", "--origin", url],
                ["import", directory("base"), "--origin", url],
            ] {
                let result = try tool.run(arguments)
                #expect(result.status == 6 && result.errors.contains(url), "\(arguments): \(result.errors)")
            }
        }
        var other = tool
        other.environment["HOME"] = directory("home")
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"] {
            other.environment[name] = ""
        }
        let without = try other("pull", "org/x", "--origin", "s3://bucket/models")
        #expect(without.status == 9 && without.errors.contains("no credentials"), "\(without.errors)")
        other.environment["AWS_ACCESS_KEY_ID"] = "two words"
        other.environment["AWS_SECRET_ACCESS_KEY"] = "secret"
        other.environment["HF_TOKEN"] = "two words"
        other.environment["WEIGHTSTORE_TOKEN"] = "two words"
        for url in ["s3://bucket/models", "https://127.0.0.1:9", "peer+https://127.0.0.1:9"] {
            let result = try other("pull", "org/x", "--origin", url)
            #expect(result.status == 9 && result.errors.contains("printable ASCII"), "\(url): \(result.errors)")
            #expect(!result.errors.contains("two words"))
        }
    }

    @Test(
        "an origin of an unknown scheme is refused before a byte is read: the message names it and the supported ones")
    func unknownOrigin() throws {
        // Reading it would be another failure.
        try directory.write("not a header", to: "bad/model.safetensors")
        for arguments in [
            ["import", directory("bad"), "--origin", "az://box/model"],
            [
                "import", directory("base"), "--move", "--origin", "file://" + directory("base"), "--origin",
                "az://box/model",
            ],
            ["pull", "org/base", "--origin", "az://box/model"],
        ] {
            let result = try tool.run(arguments)
            #expect(result.status == 6, "\(result.errors)")
            #expect(
                result.errors.contains("az://box/model") && result.errors.contains("unsupported origin scheme \"az\""))
            for scheme in ["file://", "https://", "s3://", "peer+https://"] { #expect(result.errors.contains(scheme)) }
            #expect(result.output.isEmpty)
        }
        #expect(try tool("ls", "--quiet").output.isEmpty)
        #expect(TemporaryDirectory.files(below: directory("store/blobs")) == [".store"])
        #expect(TemporaryDirectory.files(below: directory("store/staging")).isEmpty)
        #expect(FileManager.default.fileExists(atPath: directory("base/model.safetensors")))
    }

    @Test("damage is reported with exit status 3")
    func damage() throws {
        try importBoth()
        let tensors = try tool("tensors", "org/base", "--json").list()
        let digest = try #require(
            tensors.first { $0["name"] as? String == "model.embed_tokens.weight" }?["shard"] as? String)
        let path = directory("store/blobs/\(digest.prefix(2))/\(digest)")
        var bytes = try contents(path)
        bytes[5] ^= 1
        try FileManager.default.removeItem(atPath: path)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        #expect(try tool("cat", "org/base", "model.safetensors").status == 3)
        let verify = try tool("verify")
        #expect(verify.status == 3)
        #expect(verify.errors.contains("org/base@~1") && verify.errors.contains("org/tuned@~1"))
        #expect(try tool("import", directory("base"), "--name", "org/base").status == 0)
        #expect(try tool("verify").status == 0)
    }

    @Test("du shows the bytes that deduplication saves")
    func diskUsage() throws {
        try importBoth()
        let usage = try tool("du", "--json").object()
        let models = try #require(usage["models"] as? [[String: Any]])
        let tuned = try #require(models.first { $0["model"] as? String == "org/tuned" })
        #expect(tuned["own"] as? Int == 2 << 20)
        #expect(try tool("du").output.contains("saved"))
    }

    @Test("a lost catalog is rebuilt from the blobs: models, versions, refs, pins, tensors, origins")
    func rebuild() throws {
        try importBoth()
        #expect(
            try tool(
                "import", directory("tuned"), "--name", "org/base", "--origin", "https://hub.test/x", "--trust"
            ).status == 0)
        #expect(try tool("tag", "org/base@~1", "prod").status == 0)
        #expect(try tool("pin", "org/base@~1", "--note", "why").status == 0)
        let questions = [
            ["ls"], ["show", "org/base"], ["show", "org/tuned"], ["files", "org/base@~1"],
            ["tensors", "org/base@prod"], ["du"],
        ]
        func answers() throws -> [String] {
            try questions.map { question in
                try tool.run(question + ["--json"]).output.split(separator: "\n")
                    .filter { !$0.contains("ccess") }.joined(separator: "\n")
            }
        }
        let before = try answers()
        for suffix in ["", "-wal", "-shm"] {
            try FileManager.default.removeItem(atPath: directory("store/store.db\(suffix)"))
        }
        let lost = try tool("ls")
        #expect(lost.status == 7)
        #expect(lost.errors.contains("rebuild"))
        #expect(try tool("rebuild").status == 0)
        #expect(try answers() == before)
        #expect(try tool("gc", "--grace", "0").output.isEmpty)
        #expect(
            try tool("cat", "org/base@~1", "model.safetensors").bytes == contents(directory("base/model.safetensors")))
        #expect(try tool("import", directory("base"), "--json").object()["written"] as? Int == 0)
    }

    @Test("gc is silent when there is nothing to do")
    func quiet() throws {
        try importBoth()
        let result = try tool("gc")
        #expect(result.status == 0)
        #expect(result.output.isEmpty && result.errors.isEmpty)
    }

    @Test("prune --dry-run names the revisions that no ref names, and prune removes them")
    func prune() throws {
        try importBoth()
        #expect(try tool("import", directory("tuned"), "--name", "org/base").status == 0)
        #expect(try tool("prune", "--dry-run").output.contains("org/base@~1"))
        #expect(try tool("show", "org/base", "--json").object()["revisions"].map { ($0 as! [Any]).count } == 2)
        #expect(try tool("prune").output.contains("1 revision removed"))
        #expect(try tool("show", "org/base@~1").status == 2)
        #expect(
            try tool("cat", "org/base", "model.safetensors").bytes == contents(directory("tuned/model.safetensors")))
    }

    @Test("progress is drawn only on a terminal; a dry run imports nothing")
    func quietImport() throws {
        #expect(try tool("import", directory("base"), "--dry-run").output.contains("base"))
        #expect(!FileManager.default.fileExists(atPath: directory("store")))
        let result = try tool("import", directory("base"))
        #expect(result.errors.isEmpty)
        #expect(!result.output.contains("\u{1B}") && !result.output.contains("\r"))
    }

    @Test("families lists the known name patterns of tensors, and shows what it reads from one name")
    func families() throws {
        #expect(try tool("families").output.contains("blk.N."))
        let place = try tool("families", "model.layers.3.mlp.experts.60.down_proj.weight", "--json").object()
        #expect(place["layer"] as? Int == 3)
        #expect(place["expert"] as? Int == 60)
    }

    @Test("a command that offers --store uses the store, and one that offers --json prints it")
    func sharedOptions() throws {
        let root = URL(filePath: #filePath).appending(path: "../../../Sources/Command").standardizedFileURL
        var commands = 0
        for path in TemporaryDirectory.files(below: root.path) where path.hasSuffix(".swift") {
            let text = try String(contentsOf: root.appending(path: path), encoding: .utf8)
            for command in text.components(separatedBy: ": ParsableCommand").dropFirst()
            where command.contains(": Store") {
                commands += 1
                let isUsed = ["options.open(", "options.path", "options.location", ".open(options)"].contains {
                    command.contains($0)
                }
                #expect(isUsed, "\(path): \(command.prefix(200))")
            }
            for command in text.components(separatedBy: ": ParsableCommand").dropFirst()
            where command.contains(": StoreOptions") || command.contains(": OutputOptions") {
                let printsJSON = ["options.json", "output.json", "report("].contains { command.contains($0) }
                #expect(printsJSON, "\(path): \(command.prefix(200))")
            }
        }
        #expect(commands > 40)
        for command in [["cat", "org/base", "config.json"], ["demo"]] {
            let result = try tool.run(command + ["--json"])
            #expect(result.status == 64 && result.errors.contains("'--json'"), "\(command): \(result.errors)")
        }
        for command in ["status", "make-bucket", "verify", "repair", "gc"] {
            #expect(try tool("fleet", command, "--store", directory("store")).status == 64)
        }
    }

    @Test("shell completions are generated", arguments: ["bash", "zsh", "fish"])
    func completions(shell: String) throws {
        let script = try tool("--generate-completion-script", shell)
        #expect(script.status == 0)
        #expect(script.output.contains("prune"))
    }

    @Test("a generated checkpoint is the same for the same seed, and a fine-tune of it differs in q and v alone")
    func generate() throws {
        for (name, options) in [("a", []), ("b", []), ("c", ["--tune", "9"])] {
            #expect(try tool.run(["generate", directory("g/\(name)"), "--like", "smollm2-135m"] + options).status == 0)
            #expect(try tool("import", directory("g/\(name)")).status == 0)
        }
        #expect(try tool("import", directory("g/b"), "--json").object()["written"] as? Int == 0)
        func digests(_ model: String) throws -> [String: String] {
            try Dictionary(
                uniqueKeysWithValues: tool("tensors", model, "--json").list().map {
                    ($0["name"] as! String, "\($0["shard"] ?? "") \($0["shardOffset"] ?? "")")
                })
        }
        let (base, tuned) = (try digests("a"), try digests("c"))
        #expect(try digests("b") == base)
        let large = base.keys.filter { $0.contains("mlp") || $0.contains("embed") }
        for name in large { #expect(base[name] == tuned[name], "\(name)") }
        #expect(base["model.layers.0.self_attn.q_proj.weight"] != tuned["model.layers.0.self_attn.q_proj.weight"])
    }
}
