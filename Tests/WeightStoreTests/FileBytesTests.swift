import Foundation
import TestSupport
import Testing
@testable import WeightStore

/// The bytes of a file decide how it is read, and unusual files are kept with a warning.
@Suite(.blocking) struct FileBytesTests {
    let directory = try! TemporaryDirectory()

    private func store() throws -> Store { try Store(at: directory("store"), create: true) }

    private func imported(
        _ store: Store, _ name: String, strict: Bool = false, opaque: Bool = false
    ) throws -> ImportSummary {
        var request = ImportRequest(source: directory(name), name: name)
        request.strict = strict
        request.opaque = opaque
        return try store.importModelBlocking(request)
    }

    // MARK: Stores of older versions

    /// A store in which an older version has the bytes of a model as one shard, because of the name of the file.
    private func olderStore() throws -> (store: Store, bytes: [UInt8]) {
        let store = try store()
        let model = TestModel(layers: 1)
        let bytes = try model.file(model.tensors)
        let digest = bytes.withUnsafeBytes { ContentDigest(of: $0) }
        let head = Array(bytes.prefix(ShardFacts.headBytes)).withUnsafeBytes { ContentDigest(of: $0).head }
        let facts = ShardFacts(digest: digest, bytes: bytes.count, kind: .file, head: head)
        let content = FileContent(
            digest: digest, bytes: bytes.count, format: .other, shards: [facts],
            extents: [Extent(shard: 0, shardOffset: 0, length: bytes.count)], tensors: [], isHashed: true)
        let manifest = Manifest(commit: nil, files: [.init(path: "sha256-\(digest.hex)", content: content)])
        let change = store.change()
        let (blob, text) = (try change.stage(), try change.stage())
        let names = (blob: try blob.writeWhole(bytes), text: try text.writeWhole(manifest.encoded()))
        #expect(names.blob == digest)
        try change.commit { db in
            try store.blobs.install([
                (blob, .init(digest: digest, kind: .shard)), (text, .init(digest: names.text, kind: .manifest)),
            ])
            _ = try ShardTable.markPresent(facts, db)
            let saved = try RevisionRow.save(
                manifest, digest: names.text, model: "old", source: directory("old"), refs: ["main"], origins: [],
                partial: false, lease: store.leases.name, db)
            return ((), [saved.model])
        }
        return (store, bytes)
    }

    /// Checks that a revision has one file with all tensors of `bytes`, and their data.
    private func checkTensors(_ store: Store, _ name: String, _ bytes: [UInt8]) throws {
        let revision = try store.revision(name)
        let file = try #require(try revision.files().first)
        #expect(file.format == "safetensors" && file.shards == 1)
        let layout = try FileLayout.read(MemorySource(name: "", bytes: bytes), format: .safetensors)
        #expect(try revision.tensorEntries().count == layout.tensors.count)
        for info in layout.tensors {
            let data = try revision.tensor(info.name).bytes.withUnsafeBytes { Array($0) }
            #expect(data == Array(bytes[info.offset..<info.offset + info.bytes]), "\(info.name)")
        }
        let lease = try revision.leaseBlocking(layer: 0, in: .ram)
        #expect(lease.tensors.count == 4)
    }

    @Test(
        "bytes that an older version stored without their tensors get them when they are imported again, and are not stored twice",
        arguments: ["model.safetensors", "sha256-1"])
    func olderImport(path: String) throws {
        let (store, bytes) = try olderStore()
        try directory.write(bytes, to: "again/\(path)")
        let before = try store.usage().stored
        #expect(try imported(store, "again").written == 0)
        #expect(try store.usage().stored == before)
        try checkTensors(store, "again", bytes)
        // The older revision is what it was.
        #expect(try store.revision("old").files().map(\.format) == ["other"])
        let again = try imported(store, "again")
        #expect(again.written == 0 && again.revisions[0].wasKnown)
        #expect(try store.verifyBlocking().damage.isEmpty)
        try store.revision("again").exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/\(path)")) == bytes)
        // Each revision keeps the shard.
        try store.remove(["old"])
        _ = try store.collectGarbage(graceSeconds: 0)
        try checkTensors(store, "again", bytes)
    }

    @Test("bytes that an older version stored without their tensors get them when they are pulled, and are not fetched")
    func olderPull() throws {
        let (store, bytes) = try olderStore()
        let hub = RecordingHub(path: "model.safetensors", bytes: bytes)
        store.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        #expect(try store.pullBlocking(request).complete)
        #expect(hub.reads().isEmpty)
        try checkTensors(store, "org/model", bytes)
    }

    @Test("a pull reads a file in the format of its bytes, whatever its name")
    func pulledBytes() throws {
        let model = TestModel(layers: 1)
        let bytes = try model.file(model.tensors)
        let hub = RecordingHub(path: "blobs/weights", bytes: bytes)
        let store = try store()
        store.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        #expect(try store.pullBlocking(request).complete)
        let file = try #require(try store.revision("org/model").files().first)
        #expect(file.format == "safetensors" && file.tensors == model.tensors.count)
        // Each byte was read once.
        #expect(hub.reads().reduce(0) { $0 + $1.count } == bytes.count)
    }

    @Test("a page in place of weights is refused by a pull with its real cause, or kept without tensors")
    func pulledPage() throws {
        let hub = RecordingHub(path: "model.safetensors", bytes: Array("<!DOCTYPE html><title>Sign in</title>".utf8))
        let store = try store()
        store.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        let error = #expect(throws: FormatError.self) { try store.pullBlocking(request) }
        #expect(error?.problem == .foreignContent("an HTML page", expected: "safetensors"))
        #expect(try store.models().isEmpty)
        request.opaque = true
        let summary = try store.pullBlocking(request)
        #expect(summary.complete && summary.warnings.map(\.path) == ["model.safetensors"])
        #expect(try store.revision("org/model").files().map(\.format) == ["other"])
    }

    // MARK: Unusual files

    /// A GGUF file with one tensor in each of two layers.
    private func gguf(_ type: UInt32, second: UInt64 = 64) -> [UInt8] {
        func number<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
            withUnsafeBytes(of: value.littleEndian, Array.init)
        }
        var file = Array("GGUF".utf8) + number(UInt32(3)) + number(UInt64(2)) + number(UInt64(0))
        let tensors: [(name: String, type: UInt32, elements: UInt64, offset: UInt64)] = [
            ("blk.0.w", type, 256, 0), ("blk.1.w", 0, 4, second),
        ]
        for tensor in tensors {
            file += number(UInt64(tensor.name.utf8.count)) + Array(tensor.name.utf8) + number(UInt32(1))
            file += number(tensor.elements) + number(tensor.type) + number(tensor.offset)
        }
        file += [UInt8](repeating: 0, count: (32 - file.count % 32) % 32)
        return file + (0..<second + 16).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ 1) }
    }

    @Test("a tensor of an unknown GGUF type is kept with a warning, and strictness refuses it, also if it is stored")
    func unknownType() throws {
        let bytes = gguf(36)
        try directory.write(bytes, to: "bitnet/model.gguf")
        let store = try store()
        #expect(throws: FormatError.self) { try imported(store, "bitnet", strict: true) }
        #expect(try store.models().isEmpty)
        let summary = try imported(store, "bitnet")
        #expect(summary.warnings.map(\.path) == ["model.gguf"])
        #expect(summary.warnings[0].warning.contains("tensor \"blk.0.w\": unknown ggml type 36"))
        let revision = try store.revision("bitnet")
        #expect(try revision.tensorEntries().map(\.dtype) == ["ggml:36", "F32"])
        let tensor = try #require(try revision.layer(0).tensors.first)
        #expect(tensor.bytes.withUnsafeBytes { Array($0) } == Array(bytes[(bytes.count - 80)..<(bytes.count - 16)]))
        try revision.exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.gguf")) == bytes)
        // Once more: the file is known.
        #expect(try imported(store, "bitnet").warnings == summary.warnings)
        #expect(throws: FormatError.self) { try imported(store, "bitnet", strict: true) }
    }

    @Test("a file with unaligned GGUF tensors is kept with a warning")
    func unaligned() throws {
        let bytes = gguf(24, second: 257)
        try directory.write(bytes, to: "vision/mmproj")
        let store = try store()
        let summary = try imported(store, "vision")
        #expect(summary.warnings.map(\.path) == ["mmproj"])
        let tensor = try store.revision("vision").tensor("blk.1.w")
        #expect(tensor.bytes.withUnsafeBytes { Array($0) } == Array(bytes.suffix(16)))
    }

    @Test("an index that names tensors which its files lack is kept with one warning, and strictness refuses it")
    func staleIndex() throws {
        try TestModel(layers: 1).write(to: directory("stale"), files: 2)
        let path = directory("stale/model.safetensors.index.json")
        var index = try #require(
            try JSONSerialization.jsonObject(with: Data(contents(path))) as? [String: Any])
        var map = try #require(index["weight_map"] as? [String: String])
        for name in ["mtp.fc.weight", "mtp.norm.weight"] { map[name] = "model-00001-of-00002.safetensors" }
        index["weight_map"] = map
        try directory.write(
            Array(JSONSerialization.data(withJSONObject: index)), to: "stale/model.safetensors.index.json")
        let store = try store()
        #expect(throws: FormatError.self) { try imported(store, "stale", strict: true) }
        let summary = try imported(store, "stale")
        #expect(summary.warnings.map(\.path) == ["model.safetensors.index.json"])
        #expect(summary.warnings[0].warning.contains("\"mtp.fc.weight\""))
        #expect(summary.warnings[0].warning.contains("2 tensors"))
        let sets = try store.revision("stale").weightSets()
        #expect(sets.map(\.files.count) == [2])
    }

    @Test("a git-lfs pointer in place of weights is refused; in place of another file it is kept with a warning")
    func pointers() throws {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 2097152\n"
        try directory.write(pointer, to: "weights/model.safetensors")
        try directory.write(pointer, to: "tokenizer/tokenizer.model")
        let store = try store()
        let error = #expect(throws: FormatError.self) { try imported(store, "weights") }
        #expect("\(error!)".contains("git lfs pull"))
        let opaque = try imported(store, "weights", opaque: true)
        #expect(opaque.warnings.map(\.path) == ["model.safetensors"])
        #expect(try store.revision("weights").files().map(\.format) == ["other"])
        let other = try imported(store, "tokenizer")
        #expect(other.warnings.map(\.path) == ["tokenizer.model"] && other.warnings[0].warning.contains("git lfs pull"))
        #expect(throws: FormatError.self) { try imported(store, "tokenizer", strict: true) }
    }

    @Test("parts of a split file that were joined are kept as one file without tensors")
    func joined() throws {
        // The first tensor has 1 KiB in F32: the second one begins behind it.
        let part = gguf(0, second: 1024)
        try directory.write(part + part, to: "joined/model.gguf")
        let store = try store()
        let summary = try imported(store, "joined")
        #expect(summary.warnings.count == 1 && summary.warnings[0].warning.contains("another GGUF file"))
        #expect(try store.revision("joined").files().map(\.format) == ["other"])
        #expect(try imported(store, "joined").revisions[0].wasKnown)
        #expect(throws: FormatError.self) { try imported(store, "joined", strict: true) }
    }
}
