import Foundation
import TestSupport
import Testing
import WeightStore

/// The cache that huggingface_hub keeps: `models--org--name/{blobs,refs,snapshots}`.
@Suite(.blocking) struct HubCacheTests {
    let directory = try! TemporaryDirectory()
    let commits = ["a", "b"].map { String(repeating: $0, count: 40) }

    /// A cache with two snapshots that share a file, two refs, and a download that was not finished.
    private func makeCache(_ models: [TestModel] = [TestModel(seed: 1), TestModel(seed: 2)]) throws {
        let files = FileManager.default
        for (index, commit) in commits.enumerated() {
            try models[index].write(to: directory("plain-\(index)"))
            let names = TemporaryDirectory.files(below: directory("plain-\(index)"))
            for name in names {
                let bytes = try contents(directory("plain-\(index)/\(name)"))
                let blob = bytes.withUnsafeBytes { ContentDigest(of: $0).hex }
                try directory.write(bytes, to: "hub/models--org--name/blobs/\(blob)")
                let link = directory("hub/models--org--name/snapshots/\(commit)/\(name)")
                try files.createDirectory(
                    atPath: (link as NSString).deletingLastPathComponent, withIntermediateDirectories: true)
                let up = String(repeating: "../", count: name.split(separator: "/").count + 1)
                try files.createSymbolicLink(atPath: link, withDestinationPath: up + "blobs/\(blob)")
            }
            try files.setAttributes(
                [.modificationDate: Date(timeIntervalSince1970: 1_700_000_000 + Double(index))],
                ofItemAtPath: directory("hub/models--org--name/snapshots/\(commit)"))
        }
        try directory.write(commits[1], to: "hub/models--org--name/refs/main")
        try directory.write(commits[0] + "\n", to: "hub/models--org--name/refs/refs/pr/1")
        try directory.write([1, 2, 3], to: "hub/models--org--name/blobs/beef.incomplete")
        try directory.write("", to: "hub/.locks/models--org--name/beef.lock")
        try directory.write("1", to: "hub/version.txt")
    }

    @Test("every snapshot becomes a revision, every ref a ref", arguments: ["hub", "hub/models--org--name"])
    func snapshots(source: String) throws {
        try makeCache()
        let store = try Store(at: directory("store"), create: true)
        let summary = try store.importModelBlocking(ImportRequest(source: directory(source)))
        #expect(summary.revisions.map(\.model) == ["org/name", "org/name"])
        #expect(summary.revisions.map(\.version) == [1, 2])
        #expect(summary.skipped.contains { $0.path.hasSuffix("beef.incomplete") })
        for (index, commit) in commits.enumerated() {
            let revision = try store.revision("org/name@\(commit)")
            #expect(revision.version == index + 1)
            try revision.exportBlocking(to: directory("out-\(index)"))
            for name in TemporaryDirectory.files(below: directory("plain-\(index)")) {
                #expect(
                    try contents(directory("out-\(index)/\(name)")) == contents(directory("plain-\(index)/\(name)")))
            }
        }
        #expect(try store.revision("org/name").version == 2)
        #expect(try store.revision("org/name@refs/pr/1").version == 1)
        #expect(try store.revisions(of: "org/name").map(\.commit) == commits)
    }

    @Test("an import of a cache writes the tensors that two snapshots share once")
    func shared() throws {
        let base = TestModel(layers: 4)
        try makeCache([base, base.tuned(seed: 9)])
        let alone = try Store(at: directory("alone"), create: true)
        let first = try alone.importModelBlocking(ImportRequest(source: directory("plain-0")))
        let store = try Store(at: directory("store"), create: true)
        let summary = try store.importModelBlocking(ImportRequest(source: directory("hub")))
        #expect(summary.written - first.written == 4 << 20)
    }

    @Test("the same commit is the same revision: no version is added, and refs and pins stay")
    func sameCommit() throws {
        try makeCache()
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("plain-1"), name: "org/name"))
        let first = try store.revision("org/name")
        // A server assigns this commit to a revision without one.
        let commit = first.digest.hex.prefix(40)
        try store.pin("org/name", note: "")
        let model = directory("hub/models--org--name")
        try FileManager.default.moveItem(
            atPath: "\(model)/snapshots/\(commits[1])", toPath: "\(model)/snapshots/\(commit)")
        try FileManager.default.removeItem(atPath: "\(model)/snapshots/\(commits[0])")
        try directory.write("\(commit)", to: "hub/models--org--name/refs/main")
        // A cache may hold fewer files.
        let snapshot = "\(model)/snapshots/\(commit)"
        let name = try #require(TemporaryDirectory.files(below: snapshot).first { !$0.hasSuffix(".safetensors") })
        try FileManager.default.removeItem(atPath: "\(snapshot)/\(name)")
        let summary = try store.importModelBlocking(ImportRequest(source: directory("hub")))
        let revision = try #require(summary.revisions.first)
        #expect(summary.revisions.count == 1 && revision.wasKnown && revision.digest == first.digest)
        #expect(revision.movedRefs.isEmpty)
        #expect(try store.revisions(of: "org/name").map(\.version) == [1])
        // Another content under the same commit is another revision, and the ref that moves is named.
        try FileManager.default.removeItem(atPath: "\(snapshot)/model.safetensors")
        try directory.write(
            contents(directory("plain-0/model.safetensors")),
            to: "hub/models--org--name/snapshots/\(commit)/model.safetensors")
        let other = try store.importModelBlocking(ImportRequest(source: directory("hub")))
        #expect(other.revisions.map(\.version) == [2])
        #expect(other.revisions.first?.movedRefs == ["main": "org/name@~1"])
    }

    @Test("a cache without a finished download is refused, and the message names its files")
    func nothing() throws {
        try directory.write([1], to: "hub/models--org--name/blobs/beef.incomplete")
        try FileManager.default.createDirectory(
            atPath: directory("hub/models--org--name/snapshots"), withIntermediateDirectories: true)
        let store = try Store(at: directory("store"), create: true)
        #expect(throws: StorageError.self) { try store.importModelBlocking(ImportRequest(source: directory("hub"))) }
    }

    @Test("--move removes the imported files from the cache, and nothing else")
    func move() throws {
        try makeCache()
        let store = try Store(at: directory("store"), create: true)
        var request = ImportRequest(source: directory("hub"))
        request.move = true
        try store.importModelBlocking(request)
        #expect(TemporaryDirectory.files(below: directory("hub/models--org--name/snapshots")).isEmpty)
        #expect(TemporaryDirectory.files(below: directory("hub/models--org--name/blobs")) == ["beef.incomplete"])
        try store.revision("org/name@\(commits[0])").exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == contents(directory("plain-0/model.safetensors")))
    }
}
