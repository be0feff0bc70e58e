import Foundation
import Glibc
import TestSupport
import Testing
@testable import WeightStore

/// Caches of the hub as they are on disks: with damaged blobs, files of other programs, and tokens beside them.
@Suite(.blocking) struct UncleanCacheTests {
    let directory = try! TemporaryDirectory()
    private let commit = String(repeating: "a", count: 40)
    private let model = TestModel(layers: 1, wide: 64)
    private let config = Array("{}".utf8)
    /// The SHA-1 that git gives `config`.
    private let configName = "9e26dfeeb6e641a33dae4961196235bdb965b21b"

    /// Adds a file to a snapshot: a link to a blob, which has the SHA-256 of the bytes as its name unless another is given.
    private func add(
        _ bytes: [UInt8], _ path: String, blob: String? = nil, to name: String, _ commit: String? = nil
    ) throws {
        let folder = "home/hub/models--org--\(name)"
        let blob = blob ?? bytes.withUnsafeBytes { ContentDigest(of: $0).hex }
        try directory.write(bytes, to: "\(folder)/blobs/\(blob)")
        let link = directory("\(folder)/snapshots/\(commit ?? self.commit)/\(path)")
        try FileManager.default.createDirectory(
            atPath: (link as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
        let up = String(repeating: "../", count: path.split(separator: "/").count + 1)
        try FileManager.default.createSymbolicLink(atPath: link, withDestinationPath: up + "blobs/\(blob)")
    }

    private func addGood(_ name: String) throws {
        try add(config, "config.json", blob: configName, to: name)
        try add(model.file(model.tensors), "model.safetensors", to: name)
        try directory.write(commit, to: "home/hub/models--org--\(name)/refs/main")
    }

    private func store() throws -> Store { try Store(at: directory("store"), create: true) }

    @Test("a blob whose bytes are not those of its name is refused by name, and the other models are imported")
    func names() throws {
        for name in ["good", "last"] { try addGood(name) }
        var weights = try model.file(model.tensors)
        let published = weights.withUnsafeBytes { ContentDigest(of: $0).hex }
        weights[weights.count - 1] ^= 1
        try add(config, "config.json", blob: configName, to: "bit")
        try add(weights, "model.safetensors", blob: published, to: "bit")
        try add(Array("{ }".utf8), "config.json", blob: configName, to: "git")
        // So that the second import does not read the files again.
        usleep(200_000)
        let store = try store()
        for _ in 0..<2 {
            let summary = try store.importModelBlocking(ImportRequest(source: directory("home/hub")))
            #expect(summary.revisions.map(\.model) == ["org/good", "org/last"])
            #expect(summary.failures.map(\.model) == ["org/bit", "org/git"])
            for (failure, file) in zip(summary.failures, ["model.safetensors", "config.json"]) {
                #expect(failure.reason.contains("\(failure.source)/\(file): damaged"), "\(failure.reason)")
            }
        }
        #expect(try store.models().map(\.name).sorted() == ["org/good", "org/last"])
        #expect {
            try store.importModelBlocking(ImportRequest(source: directory("home/hub/models--org--bit")))
        } throws: { error in
            guard case StoreError.blobDiffers = error else { return false }
            return true
        }
    }

    @Test("a snapshot with a damaged file does not stop the others, and its ref stays away")
    func snapshots() throws {
        let other = String(repeating: "b", count: 40)
        try addGood("model")
        let short = try Array(model.file(model.tensors).dropLast(10))
        try add(short, "model.safetensors", blob: "etag", to: "model", other)
        try directory.write(other, to: "home/hub/models--org--model/refs/next")
        // A name that no model may have.
        try add(config, "config.json", to: "-name--x")
        let store = try store()
        let summary = try store.importModelBlocking(ImportRequest(source: directory("home/hub")))
        #expect(summary.revisions.map(\.refs) == [["main"]])
        #expect(summary.failures.count == 2)
        #expect(summary.failures.contains { $0.source.hasSuffix(other) && $0.reason.contains("model.safetensors") })
        #expect(throws: StorageError.self) { try store.revision("org/model@next") }
    }

    @Test("warnings name each unusual file of the snapshots that were imported, and none of those that failed")
    func warnings() throws {
        let pointer = Array("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2097152\n".utf8)
        try addGood("good")
        try add(pointer, "tokenizer.model", to: "good")
        // The same blob under another name.
        try add(pointer, "vocab.model", to: "good", String(repeating: "b", count: 40))
        try add(Array("{ }".utf8), "config.json", blob: configName, to: "bad")
        for number in 0..<8 { try add(pointer, "\(number).model", to: "bad") }
        // So that a blob is read once.
        usleep(200_000)
        let summary = try store().importModelBlocking(ImportRequest(source: directory("home/hub")))
        #expect(summary.failures.map(\.model) == ["org/bad"])
        #expect(summary.revisions.count == 2)
        #expect(Set(summary.warnings.map(\.path)) == ["tokenizer.model", "vocab.model"])
    }

    @Test("the folder above hub is the cache, and its tokens are skipped with a reason")
    func home() throws {
        try addGood("good")
        for name in ["token", "stored_tokens", "xet/log"] { try directory.write("hf_secret", to: "home/\(name)") }
        let request = ImportRequest(source: directory("home"))
        #expect(try request.plan().map(\.model) == ["org/good"])
        let summary = try store().importModelBlocking(request)
        #expect(summary.revisions.map(\.model) == ["org/good"])
        #expect(summary.revisions.map(\.files) == [2])
        let secrets = summary.skipped.filter { $0.reason.contains("never imported") }
        #expect(Set(secrets.map(\.path)) == [directory("home/token"), directory("home/stored_tokens")])
        #expect(summary.skipped.contains { $0.path == directory("home/xet") })
    }

    @Test("tokens, keys and secrets are imported from no source, by no name and through no link")
    func secrets() throws {
        let secrets = [
            "token", "stored_tokens", ".env", ".env.local", ".netrc", ".ssh/config", "deep/id_rsa", "server.key",
            ".aws/credentials",
        ]
        let others = ["config.json", "tokenizer.json", "tokens.txt", "token-files/token/a.txt", "environment.txt"]
        for name in secrets + others { try directory.write("{}", to: "model/\(name)") }
        for (link, target) in [("vocab.txt", "token"), ("notes.txt", ".ssh/config"), ("config", ".aws")] {
            try FileManager.default.createSymbolicLink(
                atPath: directory("model/\(link)"), withDestinationPath: target)
        }
        let store = try store()
        let summary = try store.importModelBlocking(ImportRequest(source: directory("model")))
        #expect(Set(try store.revision("model").files().map(\.path)) == Set(others))
        #expect(
            Set(summary.skipped.map(\.path)) == [
                "token", "stored_tokens", ".env", ".env.local", ".netrc", ".ssh", "deep/id_rsa", "server.key", ".aws",
                "vocab.txt", "notes.txt", "config",
            ])
        #expect(summary.skipped.allSatisfy { $0.reason.contains("never imported") })
        for name in ["token", ".ssh", "vocab.txt"] {
            #expect(throws: StorageError.self, "\(name)") {
                try store.importModelBlocking(ImportRequest(source: directory("model/\(name)"), name: "alone"))
            }
        }
        #expect(try store.models().map(\.name) == ["model"])
    }

    @Test("files that a desktop or an interpreter leaves in a cache become neither files nor refs")
    func litter() throws {
        try addGood("good")
        // A file of the repository, whatever its name.
        try add([1, 2, 3], "assets/.DS_Store", to: "good")
        let folder = "home/hub/models--org--good"
        for name in [".DS_Store", "__pycache__/a.pyc", "\(commit)/.DS_Store", "\(commit)/__pycache__/b.pyc"] {
            try directory.write([0, 1, 2], to: "\(folder)/snapshots/\(name)")
        }
        for name in [".DS_Store", "._main", "__pycache__/main"] {
            try directory.write(commit, to: "\(folder)/refs/\(name)")
        }
        try directory.write("no commit", to: "\(folder)/refs/note")
        let store = try store()
        let summary = try store.importModelBlocking(ImportRequest(source: directory("home/hub")))
        #expect(summary.revisions.map(\.refs) == [["main"]])
        #expect(
            Set(try store.revision("org/good").files().map(\.path)) == [
                "assets/.DS_Store", "config.json", "model.safetensors",
            ])
        for name in [".DS_Store", "__pycache__/b.pyc"] { #expect(summary.skipped.contains { $0.path == name }) }
        #expect(summary.skipped.contains { $0.path.hasSuffix("refs/note") && $0.reason.contains("commit") })
    }
}
