import Foundation
import TestSupport
import Testing
import WeightStore

@Suite(.blocking) struct RemovalTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws { store = try Store(at: directory("store"), create: true) }

    @discardableResult
    private func add(_ name: String, seed: UInt64 = 1, tuned: UInt64? = nil) throws -> ImportSummary {
        var model = TestModel(layers: 2, seed: seed)
        if let tuned { model = model.tuned(seed: tuned) }
        try? FileManager.default.removeItem(atPath: directory("source"))
        try model.write(to: directory("source"))
        return try store.importModelBlocking(ImportRequest(source: directory("source"), name: name))
    }

    /// All files but the marker of the store.
    private func blobs() -> Set<String> {
        Set(TemporaryDirectory.files(below: directory("store/blobs"))).subtracting([".store"])
    }

    private func check(_ name: String, seed: UInt64 = 1, tuned: UInt64? = nil) throws {
        var model = TestModel(layers: 2, seed: seed)
        if let tuned { model = model.tuned(seed: tuned) }
        let out = try TemporaryDirectory()
        try store.revision(name).exportBlocking(to: out.path)
        #expect(try contents(out("model.safetensors")) == model.file(model.tensors))
    }

    @Test("bytes that other models share stay, and a model's own are removed at once")
    func shared() throws {
        try add("base")
        let before = blobs()
        try add("tuned", tuned: 5)
        let own = try #require(try store.usage().models.first { $0.model == "tuned" }).own
        let summary = try store.remove(["tuned"])
        #expect(summary.bytes == own)
        #expect(blobs() == before)
        try check("base")
        try store.remove(["base"])
        #expect(blobs().isEmpty)
        #expect(try store.models().isEmpty)
    }

    @Test("--dry-run names the same as the removal, and removes nothing")
    func dryRun() throws {
        try add("base")
        let before = blobs()
        let planned = try store.remove(["base"], dryRun: true)
        #expect(blobs() == before)
        try check("base")
        let done = try store.remove(["base"])
        #expect(planned.revisions == done.revisions)
        #expect(planned.bytes == done.bytes)
        #expect(planned.shards == done.shards)
    }

    @Test("a pinned revision is removed only with force")
    func pinned() throws {
        try add("base")
        try store.pin("base", note: "in production")
        #expect(throws: StoreError.pinned(revision: "base@~1", note: "in production")) { try store.remove(["base"]) }
        try check("base")
        #expect(try store.unpin("base").wasPinned)
        #expect(try !store.unpin("base").wasPinned)
        try store.pin("base")
        try store.remove(["base"], force: true)
        #expect(blobs().isEmpty)
    }

    @Test("a revision in use is not removed, even with force")
    func held() throws {
        try add("base")
        let other = try Store(at: directory("store"))
        do {
            let held = try other.revision("base")
            let error = #expect(throws: StoreError.self) { try store.remove(["base"], force: true) }
            guard case .inUse = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            withExtendedLifetime(held) {}
        }
        try store.remove(["base"])
    }

    @Test("of several names, none is removed if one must not be")
    func together() throws {
        try add("one")
        try add("two", seed: 2)
        try store.pin("two")
        #expect(throws: StoreError.self) { try store.remove(["one", "two"]) }
        #expect(try store.models().map(\.name) == ["one", "two"])
    }

    @Test("a version number is never assigned twice")
    func versions() throws {
        try add("base", seed: 1)
        try add("base", seed: 2)
        try store.remove(["base@~2"])
        #expect(try add("base", seed: 3).revisions[0].version == 3)
    }

    // MARK: prune

    private func versions(_ model: String = "base") throws -> [Int?] { try store.revisions(of: model).map(\.version) }

    private func rule(_ change: (inout PruneRule) -> Void) -> PruneRule {
        var rule = PruneRule()
        change(&rule)
        return rule
    }

    @Test("prune removes revisions that no ref names, but not pinned ones")
    func pruneUnreferenced() throws {
        for seed in 1...4 as ClosedRange<UInt64> { try add("base", seed: seed) }
        try store.pin("base@~2")
        let summary = try store.prune(PruneRule())
        #expect(try versions() == [2, 4])
        #expect(summary.kept.map(\.revision) == ["base@~2"])
        try check("base@~2", seed: 2)
        try check("base", seed: 4)
    }

    @Test("prune keeps revisions that a ref names; with referenced ones included, it keeps the one that main names")
    func pruneReferenced() throws {
        for seed in 1...4 as ClosedRange<UInt64> { try add("base", seed: seed) }
        try store.setRef("prod", to: "base@~1")
        #expect(try store.prune(rule { $0.keepLast = 1 }).revisions == ["base@~2", "base@~3"])
        #expect(try versions() == [1, 4])
        try store.prune(rule { $0.keepLast = 0 })
        #expect(try versions() == [1, 4])
        let summary = try store.prune(
            rule {
                $0.keepLast = 0
                $0.includesReferenced = true
            })
        #expect(summary.refs == ["base@prod"])
        #expect(try versions() == [4])
    }

    @Test("a ref may be called v2: @v2 is the ref, @~2 is version 2, and a removal refuses the name of both")
    func exactVersion() throws {
        for seed in 1...3 as ClosedRange<UInt64> { try add("base", seed: seed) }
        #expect(try store.setRef("v2", to: "base@~1") == "base@~1")
        try check("base@v2", seed: 1)
        try check("base@~2", seed: 2)
        let error = #expect(throws: StorageError.self) { try store.remove(["base@v2"]) }
        #expect(error == .ambiguous(name: "base@v2", matches: ["ref v2: base@~1", "version: base@~2"]))
        #expect(try versions() == [1, 2, 3])
        #expect(try store.remove(["base@~2"]).revisions == ["base@~2"])
        // Without version 2 only the ref has the name.
        #expect(try store.remove(["base@v2"]).revisions == ["base@~1"])
        for name in ["base@~0", "base@~03", "base@~", "base@~9", "base@~３"] {
            #expect(throws: StorageError.self, "\(name)") { try store.revision(name) }
        }
    }

    @Test("the name that is shown of a revision means that revision, beside a ref called v1, too")
    func shownName() throws {
        let names = try (1...2 as ClosedRange<UInt64>).map { try add("base", seed: $0).revisions[0].name }
        #expect(names == ["base@~1", "base@~2"])
        try store.setRef("v1", to: names[1])
        #expect(try store.revision(names[0]).name == names[0])
        try check(names[0], seed: 1)
        #expect(try store.remove([names[0]]).revisions == [names[0]])
    }

    @Test("a model without revisions can be removed")
    func emptied() throws {
        try add("base")
        try store.remove(["base@~1"])
        #expect(try store.models().map(\.name) == ["base"])
        try store.remove(["base"])
        #expect(try store.models().isEmpty)
        #expect(blobs().isEmpty)
    }

    @Test("prune keeps the last N of each model")
    func pruneKeepLast() throws {
        for seed in 1...4 as ClosedRange<UInt64> { try add("base", seed: seed) }
        for seed in 1...2 as ClosedRange<UInt64> { try add("other", seed: seed) }
        try store.prune(rule { $0.keepLast = 2 })
        #expect(try versions() == [3, 4])
        #expect(try versions("other") == [1, 2])
    }

    @Test("prune by pattern leaves other models alone")
    func prunePattern() throws {
        for seed in 1...2 as ClosedRange<UInt64> {
            try add("org/base", seed: seed)
            try add("other", seed: seed)
        }
        try store.prune(
            rule {
                $0.models = "org/*"
                $0.keepLast = 0
            })
        #expect(try versions("org/base") == [2])
        #expect(try versions("other") == [1, 2])
    }

    @Test("prune by age keeps revisions that were read or imported since")
    func pruneAge() throws {
        for seed in 1...2 as ClosedRange<UInt64> { try add("base", seed: seed) }
        try store.prune(rule { $0.olderThanSeconds = 3600 })
        #expect(try versions() == [1, 2])
        try store.prune(rule { $0.olderThanSeconds = -1 })
        #expect(try versions() == [2])
    }

    @Test("prune down to a size stops as soon as it is reached, the longest unused first")
    func pruneDownTo() throws {
        for seed in 1...3 as ClosedRange<UInt64> { try add("base", seed: seed) }
        // The catalog counts in seconds.
        sleep(1)
        _ = try store.revision("base@~1").layer(0)
        let stored = try store.usage().stored
        let planned = try store.prune(rule { $0.downToBytes = stored - 1 }, dryRun: true)
        #expect(planned.revisions == ["base@~2"])
        try store.prune(rule { $0.downToBytes = stored - 1 })
        #expect(try versions() == [1, 3])
        #expect(try store.usage().stored < stored)
    }
}
