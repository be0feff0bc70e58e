import Foundation
import Glibc
import TestSupport
import Testing
@testable import WeightStore

/// FIFOs and directories among the files of a store: nothing waits for them.
@Suite(.blocking) struct ForeignFileTests {
    let directory = try! TemporaryDirectory()
    /// The tool, which is ended when it waits for a FIFO.
    let tool: Tool

    init() throws {
        var tool = Tool(store: directory("store"))
        tool.prefix = ["timeout", "120"]
        self.tool = tool
        try TestModel(layers: 1).write(to: directory("model"))
        try importModel()
    }

    private func importModel() throws {
        let result = try tool("import", directory("model"), "--name", "org/model")
        try #require(result.status == 0, "\(result.errors)")
    }

    /// The path of a blob, by the end of its name.
    private func blob(_ suffix: String = "") throws -> String {
        let names = TemporaryDirectory.files(below: directory("store/blobs")).filter { !$0.hasSuffix(".store") }
        let name = try #require(names.first { suffix.isEmpty ? !$0.contains(".") : $0.hasSuffix(suffix) })
        return directory("store/blobs/\(name)")
    }

    private func makeDirectory(_ path: String) throws {
        try FileManager.default.createDirectory(atPath: path + "/inner", withIntermediateDirectories: true)
    }

    @Test("a FIFO in place of a shard is damage: verify sets it aside, an import restores the shard, and gc removes it")
    func shard() throws {
        let path = try blob()
        try FileManager.default.removeItem(atPath: path)
        #expect(mkfifo(path, 0o644) == 0)
        let verified = try tool("verify")
        #expect(verified.status == 3, "\(verified.errors)")
        #expect(verified.errors.contains("a FIFO, expected a regular file"), "\(verified.errors)")
        #expect(try FileSystem.entries(directory("store/quarantine")) == [FileSystem.name(of: path)])
        try importModel()
        #expect(try tool("verify").status == 0)
        #expect(try tool("gc").status == 0)
        #expect(try FileSystem.entries(directory("store/quarantine")).isEmpty)
    }

    @Test(
        "verify rewrites a manifest or record in whose place a FIFO or a directory is",
        arguments: [".manifest", ".record"])
    func description(_ suffix: String) throws {
        var path = ""
        for isDirectory in [false, true] {
            path = try blob(suffix)
            try FileManager.default.removeItem(atPath: path)
            if isDirectory { try makeDirectory(path) } else { #expect(mkfifo(path, 0o644) == 0) }
            let verified = try tool("verify")
            #expect(verified.status == 0, "\(verified.errors)")
            // A record that is written again has another name.
            #expect(try FileSystem.status(blob(suffix), following: false)?.isFile == true)
        }
        #expect(try FileSystem.entries(directory("store/quarantine")) == [FileSystem.name(of: path)])
        #expect(try tool("gc").status == 0)
    }

    @Test(
        "a directory or FIFO in place of an evicted shard's blob does not stop its fetch: the directory is moved to quarantine",
        arguments: [false, true])
    func evictedShard(isDirectory: Bool) throws {
        let path = try blob()
        let origin = try tool("origin", "add", "org/model", "file://\(directory("model"))")
        try #require(origin.status == 0, "\(origin.errors)")
        let evicted = try tool("evict", "--down-to", "0")
        try #require(evicted.status == 0, "\(evicted.errors)")
        #expect(try FileSystem.isAbsent(path))
        if isDirectory { try makeDirectory(path) } else { #expect(mkfifo(path, 0o644) == 0) }
        let exported = try tool("export", "org/model", directory("out"))
        #expect(exported.status == 0, "\(exported.errors)")
        #expect(exported.errors.isEmpty)
        #expect(try FileSystem.status(path, following: false)?.isFile == true)
        let quarantined = isDirectory ? [FileSystem.name(of: path)] : []
        #expect(try FileSystem.entries(directory("store/quarantine")) == quarantined)
        if isDirectory { #expect(FileSystem.exists(directory("store/quarantine/\(quarantined[0])/inner"))) }
        #expect(try tool("verify").status == 0)
    }

    @Test("a directory in place of the blob of a shard or manifest without a row does not stop its import")
    func imported() throws {
        let paths = [try blob(), try blob(".manifest")]
        let removed = try tool("rm", "org/model", "--yes")
        try #require(removed.status == 0, "\(removed.errors)")
        for path in paths {
            try #require(try FileSystem.isAbsent(path))
            try makeDirectory(path)
        }
        try importModel()
        for path in paths { #expect(try FileSystem.status(path, following: false)?.isFile == true) }
        #expect(
            try FileSystem.entries(directory("store/quarantine")) == paths.map { FileSystem.name(of: $0) }.sorted())
        #expect(try tool("verify").status == 0)
    }

    @Test("gc leaves directories that the store has not made, names each once, does the rest, and ends with 0")
    func directories() throws {
        let shard = try blob()
        let digest = FileSystem.name(of: shard)
        // The blob of a shard that no row has.
        let other = String(digest.prefix(2)) + String(repeating: "0", count: 62)
        let places = [
            directory("store/quarantine/\(digest)"), directory("store/quarantine/notes"),
            directory("store/partial/notes"), directory("store/blobs/\(digest.prefix(2))/\(other)"),
        ]
        for place in places { try makeDirectory(place) }
        // A damaged file of a shard that is whole again.
        try FileManager.default.copyItem(atPath: shard, toPath: directory("store/quarantine/\(digest).1"))
        let result = try tool("gc", "--grace", "0", "--full")
        #expect(result.status == 0, "\(result.errors)")
        for place in places {
            #expect(result.errors.components(separatedBy: "\(place): ").count == 2, "\(result.errors)")
            #expect(FileManager.default.fileExists(atPath: place + "/inner"))
        }
        #expect(result.output.contains("1 quarantined blob"), "\(result.output)")
        #expect(!FileManager.default.fileExists(atPath: directory("store/quarantine/\(digest).1")))
    }

    @Test("a FIFO in place of a policy is named by the commands that read policies")
    func policy() throws {
        let path = directory("store/policies/own.sql")
        try FileManager.default.createDirectory(
            atPath: directory("store/policies"), withIntermediateDirectories: true)
        #expect(mkfifo(path, 0o644) == 0)
        let result = try tool("policy", "ls")
        #expect(result.status == 7, "\(result.status) \(result.errors)")
        #expect(result.errors.contains("\(path): a FIFO"), "\(result.errors)")
    }
}
