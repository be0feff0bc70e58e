import Foundation
import Logging
import TestSupport
import Testing
import WeightStore

/// Revisions with some of the files of their commit: snapshots of a hub's cache.
@Suite(.blocking) struct PartialRevisionTests {
    let directory = try! TemporaryDirectory()
    let store: Store
    private let heard = LogListener.Lines()
    private let commit = String(repeating: "a", count: 40)
    private let files = [
        "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
        "model.safetensors.index.json", "tokenizer/vocab.txt",
    ]

    init() throws {
        let heard = heard
        store = try Store(
            at: directory("store"), create: true, logger: Logger(label: "test") { _ in LogListener(heard: heard) })
        try TestModel(layers: 1).write(to: directory("plain"), files: 2)
    }

    /// Imports a cache with one snapshot of these files.
    private func add(_ files: [String], commit: String? = nil, ref: String? = nil) throws {
        let commit = commit ?? self.commit
        try? FileManager.default.removeItem(atPath: directory("models--org--name"))
        for file in files {
            let bytes = try contents(directory("plain/\(file)"))
            try directory.write(bytes, to: "models--org--name/snapshots/\(commit)/\(file)")
        }
        if let ref { try directory.write(commit, to: "models--org--name/refs/\(ref)") }
        try store.importModelBlocking(ImportRequest(source: directory("models--org--name")))
    }

    @Test("a commit and its refs are the revision with most of the files, and a removal refuses the name of several")
    func fullest() throws {
        try add(["config.json"], ref: "main")
        #expect(try store.revision("org/name").version == 1)
        #expect(try store.models().first?.partial == "the cache from which it was imported had no weights")
        try add(files)
        for name in ["org/name", "org/name@main", "org/name@\(commit)"] {
            #expect(try store.revision(name).version == 2, "\(name)")
        }
        #expect(try store.revision("org/name@~1").version == 1)
        let revisions = try store.revisions(of: "org/name")
        #expect(revisions.map(\.partial) == ["version 2 has 4 more of the files of its commit", nil])
        #expect(revisions.map(\.refs) == [["main"], []])
        #expect(try store.models().first?.partial == nil)

        let matches = ["ref main: org/name@~1", "its commit: org/name@~2"]
        let ambiguous = StorageError.ambiguous(name: "org/name@main", matches: matches)
        #expect(throws: ambiguous) { try store.remove(["org/name@main"]) }
        #expect(throws: ambiguous) { try store.unpin("org/name@main") }
        #expect(throws: StorageError.ambiguous(name: "org/name@\(commit)", matches: ["org/name@~2", "org/name@~1"])) {
            try store.remove(["org/name@\(commit)"])
        }
        // The ref means version 2, although it names version 1.
        #expect(try store.prune(PruneRule()).revisions.isEmpty)
        try store.remove(["org/name@~1"])
        #expect(try store.revision("org/name@\(commit)").version == 2)
    }

    @Test("an import with fewer files than a stored revision of the commit adds none, and moves no ref")
    func fewer() throws {
        try add(files, ref: "main")
        try store.pin("org/name")
        try add(["config.json"], ref: "main")
        let revisions = try store.revisions(of: "org/name")
        #expect(revisions.map(\.version) == [1] && revisions.map(\.refs) == [["main"]] && revisions[0].pin != nil)
    }

    @Test("a snapshot that lacks numbered files, or all files of its index, is marked, and a whole one is not")
    func marks() throws {
        let cases: [([String], String?)] = [
            (["config.json", files[1], files[3]], "1 of 2 numbered files are missing"),
            (["config.json", files[3]], "no file of its index is there"), (files, nil),
        ]
        for (index, (files, _)) in cases.enumerated() {
            try add(files, commit: String(repeating: "\(index)", count: 40))
        }
        #expect(try store.revisions(of: "org/name").map(\.partial) == cases.map(\.1))
    }

    @Test("a version of a hub's model that is read as v1 is reported, unless there is a ref v1")
    func tag() throws {
        try add(files, ref: "main")
        try add(Array(files.dropFirst()), commit: String(repeating: "b", count: 40))
        #expect(try store.revision("org/name@~1").version == 1)
        #expect(heard.lines.withLock { $0.isEmpty })
        #expect(try store.revision("org/name@v1").version == 1)
        #expect(
            heard.lines.withLock { $0 } == ["org/name@v1: the store has no ref v1, so this is its version 1, @~1"])
        try store.setRef("v1", to: "org/name@~2")
        #expect(try store.revision("org/name@v1").version == 2)
        #expect(heard.lines.withLock { $0.count } == 1)
    }
}
