import Foundation
import TestSupport
import Testing
import WeightStore

/// The rules of deletion on the command line: exit statuses, messages and the next steps.
@Suite(.blocking) struct DeletionCommandTests {
    let directory = try! TemporaryDirectory()
    let tool: Tool

    init() throws {
        tool = Tool(store: directory("store"))
        try TestModel(layers: 1).write(to: directory("base"))
        try TestModel(layers: 1).tuned(seed: 3).write(to: directory("tuned"))
        let result = try tool("import", directory("base"), "--name", "org/base")
        try #require(result.status == 0, "\(result.errors)")
    }

    private func remove(_ name: String) throws { try FileManager.default.removeItem(atPath: directory(name)) }

    @Test("if the blobs are not mounted, commands end with status 7 and a message that says so")
    func unmounted() throws {
        try FileManager.default.moveItem(atPath: directory("store/blobs"), toPath: directory("aside"))
        try FileManager.default.createDirectory(atPath: directory("store/blobs"), withIntermediateDirectories: true)
        let commands = [
            ["gc"], ["rm", "org/base"], ["prune"], ["evict", "--free", "1M"], ["verify"],
            ["import", directory("base"), "--name", "org/again"],
        ]
        for arguments in commands {
            let result = try tool.run(arguments)
            #expect(result.status == 7, "\(arguments): \(result.errors)")
            #expect(result.errors.contains("not mounted"), "\(arguments): \(result.errors)")
        }
        #expect(try tool("ls").status == 0)
        try remove("store/blobs")
        try FileManager.default.moveItem(atPath: directory("aside"), toPath: directory("store/blobs"))
        #expect(try tool("gc").status == 0)
        #expect(try tool("verify").output.contains("all intact"))
    }

    /// Puts an older catalog back, as a restore of a backup does.
    private func restore() throws {
        for suffix in ["", "-wal", "-shm"] { try? remove("store/store.db\(suffix)") }
        try FileManager.default.copyItem(atPath: directory("backup/store.db"), toPath: directory("store/store.db"))
    }

    @Test("a backup is restored: nothing is deleted before the merge, and everything is there after it")
    func restored() throws {
        #expect(try tool("backup", directory("backup")).status == 0)
        #expect(try tool("import", directory("tuned"), "--name", "org/tuned").status == 0)
        #expect(try tool("import", directory("tuned"), "--name", "org/base").status == 0)
        #expect(try tool("pin", "org/tuned", "--note", "why").status == 0)
        try restore()
        #expect(try tool("cat", "org/base", "model.safetensors").bytes == contents(directory("base/model.safetensors")))
        for arguments in [["gc", "--grace", "0"], ["rm", "org/base"], ["prune"], ["evict", "--free", "1M"]] {
            let result = try tool.run(arguments)
            #expect(result.status == 7, "\(arguments): \(result.errors)")
            #expect(result.errors.contains("rebuild --merge"), "\(arguments): \(result.errors)")
        }
        let merged = try tool("rebuild", "--merge")
        #expect(merged.status == 0, "\(merged.errors)")
        #expect(merged.output.contains("2 revisions"), "\(merged.output)")
        #expect(try tool("gc", "--grace", "0").status == 0)
        for name in ["org/tuned", "org/base@~2"] {
            #expect(try tool("cat", name, "model.safetensors").bytes == contents(directory("tuned/model.safetensors")))
        }
        #expect(try tool("show", "org/tuned").output.contains("why"))
        #expect(try tool("verify").status == 0)
    }

    @Test("--discard-newer lists the shards that would be lost, and without a terminal deletes only with --yes")
    func discard() throws {
        #expect(try tool("backup", directory("backup")).status == 0)
        #expect(try tool("import", directory("tuned"), "--name", "org/tuned").status == 0)
        try restore()
        let before = TemporaryDirectory.files(below: directory("store/blobs"))
        for arguments in [["gc", "--discard-newer"], ["gc", "--discard-newer", "--dry-run"]] {
            let result = try tool.run(arguments + ["--grace", "0"])
            #expect(result.errors.contains("org/tuned@~1"), "\(result.errors)")
            #expect(result.status == (arguments.count == 2 ? 1 : 0))
            #expect(TemporaryDirectory.files(below: directory("store/blobs")) == before)
        }
        #expect(try tool("gc", "--yes").status == 64)
        let discarded = try tool("gc", "--discard-newer", "--yes", "--grace", "0")
        #expect(discarded.status == 0, "\(discarded.errors)")
        #expect(discarded.output.contains("unlisted blob"))
        #expect(try tool("gc", "--grace", "0").output.isEmpty)
        #expect(try tool("verify").output.contains("all intact"))
    }

    @Test("a rebuild reports blobs that belong to no revision, and gc reports that it keeps them and how to free them")
    func unlisted() throws {
        let blobs = directory("store/blobs")
        for suffix in [".manifest", ".record"] {
            let name = try #require(TemporaryDirectory.files(below: blobs).first { $0.hasSuffix(suffix) })
            try FileManager.default.removeItem(atPath: "\(blobs)/\(name)")
        }
        let rebuilt = try tool("rebuild")
        #expect(rebuilt.status == 0)
        #expect(rebuilt.errors.contains("of no revision") && rebuilt.errors.contains("gc --discard-newer"))
        let summary = try tool("rebuild", "--json").object()
        #expect(summary["strays"] as? Int ?? 0 > 0 && summary["unreferencedBytes"] as? Int ?? 0 > 0)
        let kept = try tool("gc", "--grace", "0")
        #expect(kept.status == 0 && kept.output.isEmpty && kept.errors.contains("--discard-newer"), "\(kept.errors)")
        let listed = try tool("gc", "--discard-newer")
        #expect(listed.status == 1 && listed.errors.contains("no revision that could be read"), "\(listed.errors)")
        let freed = try tool("gc", "--discard-newer", "--yes", "--grace", "0")
        #expect(freed.status == 0 && freed.output.contains("unlisted blob"), "\(freed.errors)")
        #expect(try tool("gc", "--grace", "0").errors.isEmpty)
    }

    @Test("a rebuild that loses a revision ends with status 3, and gc keeps its shards and says so")
    func lost() throws {
        let blobs = directory("store/blobs")
        let manifest = try #require(TemporaryDirectory.files(below: blobs).first { $0.hasSuffix(".manifest") })
        try FileManager.default.removeItem(atPath: "\(blobs)/\(manifest)")
        let rebuilt = try tool("rebuild")
        #expect(rebuilt.status == 3)
        #expect(rebuilt.errors.contains("org/base@~1: lost"), "\(rebuilt.errors)")
        let kept = try tool("gc", "--grace", "0")
        #expect(kept.status == 0 && kept.errors.contains("kept"), "\(kept.errors)")
        #expect(try tool("import", directory("base"), "--name", "org/base").status == 0)
        let after = try tool("gc", "--grace", "0")
        #expect(after.errors.isEmpty, "\(after.errors)")
        #expect(try tool("cat", "org/base", "model.safetensors").bytes == contents(directory("base/model.safetensors")))
    }
}
