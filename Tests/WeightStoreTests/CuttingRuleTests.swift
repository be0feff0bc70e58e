import Foundation
import GRDB
import ModelFormats
import Storage
import TestSupport
import Testing
@testable import WeightStore

/// Files of mixtures of experts: cut, joined again, and recognised under each rule.
@Suite(.blocking) struct CuttingRuleTests {
    let directory = try! TemporaryDirectory()

    /// Layer 0 has experts of 1.2 MB, layer 1 small ones, and layer 2 experts of 4.8 MB, all in FP8 with scales, which
    /// are at the front of the file.
    private static let model: TestModel = {
        var model = TestModel(layers: 2)
        func add(layer: Int, experts: Int, rows: Int, columns: Int) {
            for expert in 0..<experts {
                for part in ["gate_proj", "up_proj", "down_proj"] {
                    let name = "model.layers.\(layer).mlp.experts.\(expert).\(part).weight"
                    model.tensors += [
                        .init(name: name, dtype: "F8_E4M3", shape: [rows, columns]),
                        .init(name: name + "_scale_inv", dtype: "F32", shape: [5, 5]),
                    ]
                }
            }
        }
        add(layer: 0, experts: 12, rows: 640, columns: 640)
        add(layer: 1, experts: 24, rows: 100, columns: 301)
        add(layer: 2, experts: 3, rows: 1000, columns: 1600)
        return model
    }()

    private func store(_ name: String = "store") throws -> Store { try Store(at: directory(name), create: true) }

    private func file(_ name: String) throws -> [UInt8] { try contents(directory("\(name)/model.safetensors")) }

    private func check(_ revision: Revision, is model: String) throws {
        var found: [UInt8] = []
        try revision.read("model.safetensors") { found += $0 }
        #expect(try found == file(model))
        #expect(try revision.store.verifyBlocking().damage.isEmpty)
    }

    /// The names of the tensors of each shard that has tensors.
    private func shards(_ revision: Revision) throws -> [ContentDigest: Set<String>] {
        try revision.tensorEntries().reduce(into: [:]) { shards, entry in
            if let shard = entry.shard { shards[shard, default: []].insert(entry.name) }
        }
    }

    private func checkExperts(_ revision: Revision) throws {
        let shards = try shards(revision)
        for layer in [0, 2] {
            for expert in 0..<(layer == 0 ? 12 : 3) {
                let names = Self.model.tensors.map(\.name).filter {
                    $0.hasPrefix("model.layers.\(layer).mlp.experts.\(expert).")
                }
                #expect(names.count == 6 && shards.values.contains(Set(names)), "layer \(layer), expert \(expert)")
            }
        }
        // 24 experts of 90 kB, with the 70 kB of the layer.
        #expect(shards.values.count { names in names.contains { $0.contains("layers.1.mlp.experts") } } == 3)
    }

    @Test("an expert is one shard of an import, and the file is exported byte for byte, also after evictions")
    func importing() throws {
        try Self.model.write(to: directory("model"))
        let store = try store()
        var request = ImportRequest(source: directory("model"))
        request.origins = ["file://\(directory("model"))"]
        #expect(try store.importModelBlocking(request).storedAgain == 0)
        try checkExperts(store.revision("model"))
        try check(store.revision("model"), is: "model")
        try store.revision("model").exportBlocking(to: directory("out"))
        #expect(try file("out") == file("model"))
        // The same bytes elsewhere.
        try FileManager.default.copyItem(atPath: directory("model"), toPath: directory("copy"))
        var copy = ImportRequest(source: directory("copy"))
        copy.origins = request.origins
        #expect(try store.importModelBlocking(copy).written == 0)
        #expect(try store.revision("copy").digest == store.revision("model").digest)
        // No value of the revision lives now: it would hold the shards.
        #expect(try store.evictBlocking(EvictionRequest(.downTo(0))).shards > 20)
        try check(store.revision("model"), is: "model")
        #expect(try store.evictBlocking(EvictionRequest(.downTo(0))).shards > 20)
        let layer = try store.revision("model").layer(2)
        for tensor in layer.tensors where tensor.entry.name.contains("experts.1.") {
            let layout = try FileLayout.read(MemorySource(name: "", bytes: file("model")), format: .safetensors)
            let info = try #require(layout.tensors.first { $0.name == tensor.entry.name })
            #expect(
                try tensor.bytes.withUnsafeBytes { Array($0) }
                    == Array(file("model")[info.offset..<info.offset + info.bytes]))
        }
    }

    @Test("a pull cuts a file as an import does, layer by layer and at once")
    func pulling() throws {
        try Self.model.write(to: directory("model"))
        let hub = RecordingHub(path: "model.safetensors", bytes: try file("model"))
        var digests: Set<ContentDigest> = []
        for layers in [[], [2, 0], [1]] {
            let store = try store("store-\(layers.count)")
            store.register(scheme: "made") { _ in hub }
            var request = try PullRequest("org/model")
            request.origin = hub.url
            for layer in layers {
                request.selection = FetchSelection(layers: layer...layer)
                #expect(try !store.pullBlocking(request).complete)
            }
            request.selection = FetchSelection()
            #expect(try store.pullBlocking(request).complete)
            let revision = try store.revision("org/model")
            try checkExperts(revision)
            try check(revision, is: "model")
            digests.insert(revision.digest)
            let manifest = try #require(try store.shards(of: revision.digest)).manifest
            #expect(manifest.files.map(\.content.rule) == [ShardPlan.newestRule])
        }
        #expect(digests.count == 1)
    }

    @Test("the tensors of a file may be in any order", arguments: 0..<4)
    func anyOrder(seed: UInt64) throws {
        var random = Random(seed: seed)
        let tensors = Self.model.tensors.filter { !$0.name.contains("embed") }.shuffled(using: &random)
        try directory.write(
            Self.file(tensors.map { ($0.name, $0.dtype, $0.shape) }), to: "model/model.safetensors")
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        try checkExperts(revision)
        try check(revision, is: "model")
        let hub = RecordingHub(path: "model.safetensors", bytes: try file("model"))
        let other = try self.store("other")
        other.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        #expect(try other.pullBlocking(request).complete)
        try check(other.revision("org/model"), is: "model")
        #expect(try shards(other.revision("org/model")) == shards(revision))
    }

    @Test("experts whose second matrices precede all first ones need more memory than allowed, and are whole")
    func scattered() throws {
        var tensors: [(String, String, [Int])] = []
        for part in ["w2", "w1"] {
            for expert in 0..<12 {
                tensors.append(
                    ("model.layers.0.experts.\(expert).\(part)", "U8", [part == "w1" ? 1 << 20 : 7 << 20]))
            }
        }
        try directory.write(Self.file(tensors), to: "model/model.safetensors")
        let layout = try FileLayout.read(MemorySource(name: "", bytes: file("model")), format: .safetensors)
        let limits = ShardPlan.PassLimits(frontBytes: 4 << 20, bufferBytes: 64 << 20, openShards: 96)
        #expect(!ShardPlan(layout).scatteredShards(limits).isEmpty)
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        try check(store.revision("model"), is: "model")
        #expect(try shards(store.revision("model")).count == 12)
        let hub = RecordingHub(path: "model.safetensors", bytes: try file("model"))
        let other = try self.store("other")
        other.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        #expect(try other.pullBlocking(request).complete)
        try check(other.revision("org/model"), is: "model")
    }

    /// A store in which the version before this rule has begun to pull the model.
    private func begunStore(_ name: String) throws -> (store: Store, hub: RecordingHub, request: PullRequest) {
        let hub = RecordingHub(path: "model.safetensors", bytes: try file(name))
        var request = try PullRequest("org/model")
        request.origin = hub.url
        request.selection = FetchSelection.nothing
        do {
            let store = try store()
            store.register(scheme: "made") { _ in hub }
            #expect(try !store.pullBlocking(request).complete)
        }
        let queue = try DatabaseQueue(path: directory("store/store.db"))
        try queue.write { db in try db.execute(sql: "UPDATE file SET rule = 1") }
        try queue.close()
        let store = try store()
        store.register(scheme: "made") { _ in hub }
        return (store, hub, request)
    }

    /// A store that has the model as the version before this rule cut it.
    private func oldStore(_ name: String) throws -> (store: Store, hub: RecordingHub) {
        let begun = try begunStore(name)
        let (store, hub) = (begun.store, begun.hub)
        var request = begun.request
        request.selection = FetchSelection()
        #expect(try store.pullBlocking(request).complete)
        return (store, hub)
    }

    private func rules(_ store: Store) throws -> [Int] {
        try store.catalog.read { db in
            try Int.fetchAll(db, sql: "SELECT DISTINCT rule FROM file WHERE format = 'safetensors'")
        }
    }

    @Test("an import completes a file that an older rule has begun to cut, and cuts it by the newest rule")
    func completing() throws {
        try Self.model.write(to: directory("model"))
        let begun = try begunStore("model")
        let (store, hub) = (begun.store, begun.hub)
        var request = begun.request
        request.selection = FetchSelection(layers: 2...2)
        #expect(try !store.pullBlocking(request).complete)
        // The bytes that have arrived are cut by the rule with which the file began.
        #expect(try rules(store) == [1])
        let matrix = "model.layers.2.mlp.experts.0.up_proj.weight"
        #expect(try shards(store.revision("org/model")).values.contains([matrix]))
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        #expect(try rules(store) == [2])
        _ = hub.reads()
        request.selection = FetchSelection()
        #expect(try store.pullBlocking(request).complete)
        #expect(hub.reads().isEmpty)
        for name in ["model", "org/model"] {
            try checkExperts(store.revision(name))
            try check(store.revision(name), is: "model")
        }
        // The shards of the older rule belong to no file now.
        #expect(try !store.collectGarbage(graceSeconds: 0).isEmpty)
        try check(store.revision("org/model"), is: "model")
    }

    private func blobs() -> [String] {
        TemporaryDirectory.files(below: directory("store/blobs")).filter { !$0.hasSuffix(".record") }
    }

    @Test("a file that an older rule has cut stays as it is, and is not stored twice")
    func olderFile() throws {
        try Self.model.write(to: directory("model"))
        let (store, _) = try oldStore("model")
        let old = try store.revision("org/model")
        try check(old, is: "model")
        // Each matrix of 1 MiB or more is a shard, and the scales of its expert are in a pack.
        let matrix = "model.layers.2.mlp.experts.0.up_proj.weight"
        #expect(try shards(old).values.contains([matrix]))
        let manifest = try #require(try store.shards(of: old.digest))
        #expect(manifest.manifest.files.map(\.content.rule) == [1])
        #expect(!String(decoding: manifest.text, as: UTF8.self).contains("\nrule "))
        let before = blobs()
        try FileManager.default.removeItem(atPath: directory("model/config.json"))
        try FileManager.default.removeItem(atPath: directory("model/tokenizer"))
        for _ in 0..<2 {
            let summary = try store.importModelBlocking(ImportRequest(source: directory("model")))
            #expect(summary.written == 0 && summary.storedAgain == 0)
        }
        #expect(Set(blobs()).subtracting(before).allSatisfy { $0.hasSuffix(".manifest") })
        #expect(try shards(store.revision("model")) == shards(old))
        #expect(try store.collectGarbage(graceSeconds: 0).isEmpty)
    }

    @Test("an import restores the lost shards of a file that an older rule has cut", arguments: [false, true])
    func healing(isAllLost: Bool) throws {
        try Self.model.write(to: directory("model"))
        let (store, _) = try oldStore("model")
        let before = try shards(store.revision("org/model"))
        let lost = before.filter { isAllLost || $0.value == ["model.layers.2.mlp.experts.0.up_proj.weight"] }.map(\.key)
        #expect(lost.count == (isAllLost ? before.count : 1))
        for digest in lost { try FileManager.default.removeItem(atPath: store.blobs.path(digest)) }
        #expect(try store.verifyBlocking().damage.count == lost.count)
        let summary = try store.importModelBlocking(ImportRequest(source: directory("model")))
        #expect(summary.written > 0 && summary.storedAgain == 0)
        for digest in before.keys { #expect(FileManager.default.fileExists(atPath: store.blobs.path(digest))) }
        #expect(try shards(store.revision("model")) == before)
        try check(store.revision("org/model"), is: "model")
    }

    @Test("a fine-tune of a model that an older rule has cut is cut by the newest rule, and the bytes are reported")
    func fineTuneOfOlder() throws {
        try Self.model.write(to: directory("model"))
        var tuned = Self.model
        // One matrix of the experts, and one outside of them.
        let changed = "model.layers.2.mlp.experts.0.up_proj.weight"
        tuned.seeds[changed] = 7
        tuned.seeds["model.layers.0.self_attn.q_proj.weight"] = 7
        try tuned.write(to: directory("tuned"))
        let (store, _) = try oldStore("model")
        let summary = try store.importModelBlocking(ImportRequest(source: directory("tuned")))
        try checkExperts(store.revision("tuned"))
        try check(store.revision("tuned"), is: "tuned")
        // Experts below 1 MiB for each matrix are the same shards by both rules. Those of layer 2 and the packs of
        // layer 1 are written, and the bytes of all but one matrix were stored before.
        let experts = Self.model.tensors.filter {
            $0.name.contains("experts") && !$0.name.contains("layers.0") && $0.name != changed
        }
        let layout = try FileLayout.read(MemorySource(name: "", bytes: file("model")), format: .safetensors)
        let again = layout.tensors.filter { info in experts.contains { $0.name == info.name } }
        #expect(summary.storedAgain <= again.reduce(0) { $0 + $1.bytes } + 200_000)
        #expect(summary.storedAgain >= again.reduce(0) { $0 + $1.bytes } - 200_000)
        #expect(summary.written >= summary.storedAgain + 1_600_000)
    }

    @Test("a rebuild keeps the rule, and the kinds of shards")
    func rebuild() throws {
        try Self.model.write(to: directory("model"))
        func facts(_ store: Store) throws -> [String] {
            try store.catalog.read { db in
                try String.fetchAll(
                    db, sql: "SELECT hex(digest) || kind || coalesce(layer, '-') FROM shard ORDER BY digest")
                    + String.fetchAll(db, sql: "SELECT hex(digest) || rule FROM file ORDER BY digest")
            }
        }
        let before: [String]
        do {
            let store = try store()
            try store.importModelBlocking(ImportRequest(source: directory("model")))
            before = try facts(store)
        }
        _ = try Store.rebuildBlocking(at: directory("store"))
        let store = try store()
        #expect(try facts(store) == before)
        try check(store.revision("model"), is: "model")
    }

    @Test("a manifest has the number of its rule, and one with an unknown rule is kept unchanged")
    func manifest() throws {
        let digest = [UInt8]("12345".utf8).withUnsafeBytes { ContentDigest(of: $0) }
        func text(_ kind: String = "file", _ lines: String...) -> String {
            let shards = kind == "file" ? "shard \(digest) 5 7\nextent 0 0 5\n" : ""
            return "weightstore manifest 1\n\(kind) \(digest) 5 other f\n" + lines.map { $0 + "\n" }.joined() + shards
        }
        func decode(_ text: String) throws -> Manifest { try Manifest(decoding: Array(text.utf8), path: "") }
        for (text, rule) in [
            (text(), 1), (text("file", "rule 2"), 2), (text("file", "rule 99"), 99), (text("pending", "rule 2"), 2),
        ] {
            let manifest = try decode(text)
            #expect(manifest.files[0].content.rule == rule)
            #expect(String(decoding: manifest.encoded(), as: UTF8.self) == text)
        }
        for (text, reason) in [
            (text("file", "rule 1"), "rule 1"), (text("file", "rule 0"), "rule 0"), (text("file", "rule -2"), "rule"),
            (text("file", "rule 2", "rule 2"), "only one"), (text("pending", "rule 3"), "expected at most 2"),
            (text() + "rule 2\n", "first line"), ("weightstore manifest 1\nrule 2\n", "unexpected"),
        ] {
            #expect { try decode(text) } throws: { "\($0)".contains(reason) }
        }
        // The catalog keeps a number that this version does not know.
        let manifest = try decode(text("file", "rule 99"))
        let found = try store().catalog.write { db in
            for facts in manifest.files[0].content.shards { try ShardTable.expect(facts, db) }
            return try FileContent.find(manifest.files[0].content.save(db).file, db)
        }
        #expect(found?.rule == 99)
    }

    /// A safetensors file with the tensors in this order.
    private static func file(_ tensors: [(name: String, dtype: String, shape: [Int])]) -> [UInt8] {
        var entries: [String] = []
        var data: [UInt8] = []
        for (number, tensor) in tensors.enumerated() {
            let size = ["F32": 4, "BF16": 2][tensor.dtype] ?? 1
            let bytes = tensor.shape.reduce(size, *)
            let shape = tensor.shape.map(String.init).joined(separator: ",")
            entries.append(
                "\"\(tensor.name)\":{\"dtype\":\"\(tensor.dtype)\",\"shape\":[\(shape)],"
                    + "\"data_offsets\":[\(data.count),\(data.count + bytes)]}")
            // No two tensors are alike.
            let pattern = (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* (2 &* number &+ 1) &+ $0 >> 5 &+ number) }
            var left = bytes
            while left > 0 {
                data += pattern.prefix(left)
                left -= min(left, pattern.count)
            }
        }
        let json = Array("{\(entries.joined(separator: ","))}".utf8)
        return withUnsafeBytes(of: UInt64(json.count).littleEndian, Array.init) + json + data
    }
}
