import TestSupport
import Testing

extension Faults {
    /// The guarantees of an export for the files that it writes.
    @Suite struct ExportTests {
        let directory = try! TemporaryDirectory()
        let tool: Tool

        init() throws {
            tool = Tool(store: directory("store"))
            try TestModel(layers: 4, wide: 2048).write(to: directory("model"))
            #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
        }

        @Test(
            "a file is synced before it is renamed, and its directory afterwards",
            .enabled(if: Machine.traces, Comment(rawValue: Machine.tracing)))
        func durable() throws {
            var traced = tool
            let log = directory("log")
            traced.prefix = Trace.log(["fsync", "fdatasync", "rename", "renameat", "renameat2"], to: log)
            #expect(try traced("export", "org/model", directory("out")).status == 0)
            let calls = try Trace.calls(log).filter { $0.line.contains("/out") }
            let renames = calls.indices.filter { calls[$0].name.hasPrefix("rename") }
            #expect(renames.count == TemporaryDirectory.files(below: directory("out")).count)
            for index in renames {
                // rename("/…/out/name.partial", "/…/out/name")
                let paths = calls[index].line.split(separator: "\"")
                let (source, target) = try (#require(paths.dropFirst().first), #require(paths.dropFirst(3).first))
                let folder = target[..<(try #require(target.lastIndex(of: "/")))]
                #expect(
                    calls[..<index].contains { $0.name.hasSuffix("sync") && $0.line.contains("<\(source)>") },
                    "\(source)")
                #expect(
                    calls[index...].contains { $0.name == "fsync" && $0.line.contains("<\(folder)>") }, "\(target)")
            }
            // The entries of the created folders are synced in their parents.
            #expect(calls.contains { $0.name == "fsync" && $0.line.contains("/out>") })
        }

        @Test("a file whose name has 255 bytes is exported")
        func longName() throws {
            // 200 bytes end within a character.
            let name = "n" + String(repeating: "\u{E9}", count: 127)
            try directory.write("long", to: "model/\(name)")
            #expect(try tool("import", directory("model"), "--name", "org/long").status == 0)
            let result = try tool("export", "org/long", directory("out"))
            #expect(result.status == 0, "\(result.errors)")
            #expect(try contents(directory("out/\(name)")) == contents(directory("model/\(name)")))
            #expect(
                TemporaryDirectory.files(below: directory("out")) == TemporaryDirectory.files(below: directory("model"))
            )
        }

        @Test("two exporters with the same process id do not write to one file", .enabled(if: Machine.isRoot))
        func sameIdentifier() throws {
            var contained = tool
            // The tool is process 1 of a namespace of its own, as in a container.
            contained.prefix = ["unshare", "--pid", "--fork"]
            for _ in 0..<2 * Sweep.factor {
                let running = try (0..<4).map { _ in
                    try contained.start(["export", "org/model", directory("out"), "--force"])
                }
                for exporter in running {
                    let result = exporter.result()
                    #expect(result.status == 0, "\(result.errors)")
                }
                for name in TemporaryDirectory.files(below: directory("model")) {
                    #expect(try contents(directory("out/\(name)")) == contents(directory("model/\(name)")), "\(name)")
                }
                #expect(
                    TemporaryDirectory.files(below: directory("out"))
                        == TemporaryDirectory.files(below: directory("model")))
            }
        }

        @Test(
            "on a file system with reflinks, an export shares blocks with the store, and elsewhere it copies",
            .enabled(if: Machine.mountsXFS, Comment(rawValue: Machine.xfs)))
        func sharedBlocks() throws {
            // A shard that is a whole file lies in it as in its blob. It ends within a block.
            let bytes = 300_001
            try directory.write(String(repeating: "tokens ", count: bytes / 7), to: "model/vocab.txt")
            let size = try contents(directory("model/vocab.txt")).count
            let disk = try Disk.xfs()
            let tool = Tool(store: disk("store"))
            #expect(try tool("import", directory("model"), "--name", "org/model").status == 0)
            func export(to target: String, _ arguments: String...) throws -> Int {
                let result = try tool.run(["export", "org/model", target, "--json"] + arguments)
                #expect(result.status == 0, "\(result.errors)")
                for name in TemporaryDirectory.files(below: directory("model")) {
                    let isEqual = try contents("\(target)/\(name)") == contents(directory("model/\(name)"))
                    #expect(isEqual, "\(name)")
                }
                return try #require(
                    result.output.firstMatch(of: #/"sharedBytes"\s*:\s*(\d+)/#).flatMap { Int($0.1) })
            }
            let shared = try export(to: disk("out"))
            #expect(shared >= size, "\(shared) bytes")
            #expect(try tool("export", "org/model", disk("text")).output.contains("shared with the store"))
            #expect(try export(to: directory("out")) == 0)
            // A program that writes to its file changes no blob.
            try directory.write("changed", to: "change")
            try ChildProcess.check("dd", "if=\(directory("change"))", "of=\(disk("out/vocab.txt"))", "conv=notrunc")
            #expect(try tool("verify").status == 0)
            #expect(try export(to: disk("out"), "--force") == shared)
        }
    }
}
