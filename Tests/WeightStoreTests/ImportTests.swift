import Foundation
import ModelFormats
import Support
import TestSupport
import Testing
import WeightStore

@Suite(.blocking) struct ImportTests {
    let directory = try! TemporaryDirectory()

    private func store() throws -> Store { try Store(at: directory("store"), create: true) }

    private func blobs() -> [String] { TemporaryDirectory.files(below: directory("store/blobs")) }

    @Test("every file is exported as it was imported", arguments: [1, 2, 3])
    func roundTrip(files: Int) throws {
        try TestModel(layers: 3).write(to: directory("model"), files: files)
        try directory.write([UInt8](repeating: 7, count: 3_000_000), to: "model/pytorch_model.bin")
        try directory.write([], to: "model/empty.txt")
        let store = try store()
        let summary = try store.importModelBlocking(ImportRequest(source: directory("model")))
        #expect(summary.revisions.map(\.version) == [1])

        let revision = try store.revision("model")
        try revision.exportBlocking(to: directory("out"))
        let names = TemporaryDirectory.files(below: directory("model"))
        #expect(TemporaryDirectory.files(below: directory("out")) == names)
        for name in names {
            #expect(try contents(directory("out/\(name)")) == contents(directory("model/\(name)")), "\(name)")
        }
        for file in try revision.files() {
            let original = try contents(directory("model/\(file.path)"))
            #expect(file.digest == original.withUnsafeBytes { ContentDigest(of: $0) })
        }
    }

    @Test(
        "a file of any size is imported: whole parts, and the rest after the last one",
        arguments: [
            (4 << 20) + 1, 9_085_657, (8 << 20) - 1, 16 << 20,
        ])
    func sizes(bytes: Int) throws {
        // Eight bytes at a time: byte by byte, a debug build takes seconds.
        let text = [UInt8](unsafeUninitializedCapacity: bytes + 8) { buffer, count in
            let memory = UnsafeMutableRawBufferPointer(buffer)
            for offset in stride(from: 0, to: bytes, by: 8) {
                memory.storeBytes(of: UInt64(offset) &* 0x9E37_79B9_7F4A_7C15, toByteOffset: offset, as: UInt64.self)
            }
            count = bytes
        }
        try directory.write(text, to: "model/tokenizer.json")
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        var found: [UInt8] = []
        try store.revision("model").read("tokenizer.json") { found += $0 }
        #expect(found == text)
    }

    @Test("a second import of the same bytes writes none and makes no new version")
    func again() throws {
        try TestModel().write(to: directory("model"), files: 2)
        let store = try store()
        let first = try store.importModelBlocking(ImportRequest(source: directory("model")))
        let before = blobs().filter { !$0.hasSuffix(".record") }
        let second = try store.importModelBlocking(ImportRequest(source: directory("model")))
        #expect(second.written == 0)
        #expect(second.revisions[0].wasKnown)
        #expect(second.revisions.map(\.version) == [1])
        #expect(second.revisions.map(\.digest) == first.revisions.map(\.digest))
        #expect(blobs().filter { !$0.hasSuffix(".record") } == before)
    }

    @Test("the same bytes in another directory are read, and not written")
    func copied() throws {
        try TestModel().write(to: directory("model"))
        try TestModel().write(to: directory("copy"))
        let store = try store()
        let first = try store.importModelBlocking(ImportRequest(source: directory("model")))
        let second = try store.importModelBlocking(ImportRequest(source: directory("copy")))
        #expect(second.written == 0)
        #expect(second.revisions[0].digest == first.revisions[0].digest)
        #expect(second.revisions[0].model == "copy")
    }

    @Test("the revision's digest does not depend on what the store held before")
    func independentDigest() throws {
        // Layers 0 and 1 of one model have the bytes of layers 1 and 0 of the other; and one has two tensors alike.
        var one = TestModel(layers: 2, wide: 512)
        one.seeds["model.layers.0.self_attn.q_proj.weight"] = 5
        try one.write(to: directory("one"))
        var two = one
        two.tensors.append(.init(name: "a.twin", dtype: "F32", shape: [512, 512]))
        two.tensors.append(.init(name: "b.twin", dtype: "U8", shape: [1 << 20]))
        let file = try two.file(two.tensors)
        var layout = try FileLayout.read(MemorySource(name: "", bytes: file), format: .safetensors)
        layout.tensors.sort { $0.name < $1.name }
        let twins = layout.tensors.filter { $0.name.hasSuffix("twin") }
        var alike = file
        alike.replaceSubrange(
            twins[1].offset..<twins[1].offset + twins[1].bytes,
            with: file[twins[0].offset..<twins[0].offset + twins[0].bytes])
        try directory.write(alike, to: "two/model.safetensors")

        let both = try store()
        try both.importModelBlocking(ImportRequest(source: directory("one")))
        let afterOne = try both.importModelBlocking(ImportRequest(source: directory("two"))).revisions[0].digest
        let alone = try Store(at: directory("alone"), create: true)
        #expect(try alone.importModelBlocking(ImportRequest(source: directory("two"))).revisions[0].digest == afterOne)
        // And not on whether the file was read, or found by its digest.
        try FileManager.default.copyItem(atPath: directory("two"), toPath: directory("three"))
        #expect(
            try alone.importModelBlocking(ImportRequest(source: directory("three"))).revisions[0].digest == afterOne)
    }

    @Test("a fine-tune stores only the tensors that differ")
    func fineTune() throws {
        let base = TestModel(layers: 4)
        try base.write(to: directory("base"))
        try base.tuned(seed: 9).write(to: directory("tuned"))
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("base")))
        let summary = try store.importModelBlocking(ImportRequest(source: directory("tuned")))
        #expect(summary.written == 4 << 20)
        let usage = try store.usage()
        let tuned = try #require(usage.models.first { $0.model == "tuned" })
        #expect(tuned.own - 4 << 20 == 0)
        #expect(usage.logical - usage.stored == tuned.shared)
    }

    @Test(
        "small shards, equal ones, and larger ones between them are stored once each, read-only, and exported as they were"
    )
    func smallShards() throws {
        // A layer has one tensor, and so one shard in one place.
        let sizes = [512, 1, 64 << 10, (64 << 10) + 1, 512, 1 << 20, 100, 512]
        var model = TestModel()
        model.tensors = (0..<80).map { layer in
            .init(name: "model.layers.\(layer).mlp.weight", dtype: "U8", shape: [sizes[layer % sizes.count]])
        }
        for layer in stride(from: 4, to: 80, by: 8) {
            model.copies["model.layers.\(layer).mlp.weight"] = "model.layers.0.mlp.weight"
        }
        try model.write(to: directory("model"))
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        let tensors = try contents(directory("model/model.safetensors"))
        let layout = try FileLayout.read(MemorySource(name: "", bytes: tensors), format: .safetensors)
        var digests: Set<ContentDigest> = []
        for tensor in layout.tensors {
            digests.insert(
                tensors[tensor.offset..<tensor.offset + tensor.bytes].withUnsafeBytes { ContentDigest(of: $0) })
        }
        let stored = blobs().filter { URL(filePath: $0).lastPathComponent.count == 64 }
        let names = Set(stored.map { URL(filePath: $0).lastPathComponent })
        #expect(names.isSuperset(of: digests.map(\.hex)))
        // The header and the two other files are shards, too.
        #expect(names.count == digests.count + 3)
        for blob in stored {
            let attributes = try FileManager.default.attributesOfItem(atPath: directory("store/blobs/\(blob)"))
            let permissions = try #require(attributes[.posixPermissions] as? Int)
            #expect(permissions & 0o222 == 0, "\(blob)")
        }
        try revision.exportBlocking(to: directory("out"))
        #expect(try contents(directory("out/model.safetensors")) == tensors)
        #expect(try store.verifyBlocking().damage.isEmpty)

        var again = ImportRequest(source: directory("model"))
        again.rehash = true
        #expect(try store.importModelBlocking(again).written == 0)
    }

    @Test("a tensor of 1 MiB is a shard, and smaller ones of a layer share one with its small experts")
    func shards() throws {
        var model = TestModel(layers: 1)
        for expert in 0..<2 {
            for name in ["w1", "w2"] {
                model.tensors.append(
                    .init(name: "model.layers.0.mlp.experts.\(expert).\(name)", dtype: "U8", shape: [1000 + expert]))
            }
        }
        try model.write(to: directory("model"))
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let entries = try store.revision("model").tensorEntries()
        func shard(_ name: String) throws -> ContentDigest {
            try #require(entries.first { $0.name == name }?.shard)
        }
        let layer = "model.layers.0"
        #expect(try shard("\(layer).input_layernorm.weight") == shard("\(layer).self_attn.k_proj.weight"))
        #expect(try shard("\(layer).mlp.experts.0.w1") == shard("\(layer).mlp.experts.0.w2"))
        #expect(try shard("\(layer).mlp.experts.0.w1") == shard("\(layer).mlp.experts.1.w1"))
        #expect(try shard("\(layer).mlp.experts.0.w1") == shard("\(layer).input_layernorm.weight"))
        let large = entries.filter { $0.bytes >= 1 << 20 }
        #expect(large.count == 3)
        for entry in large { #expect(entries.filter { $0.shard == entry.shard }.count == 1) }
        for entry in entries { #expect(entry.shardOffset.isMultiple(of: 64)) }
        #expect(entries.first { $0.name == "\(layer).mlp.experts.1.w1" }?.expert == 1)
    }

    @Test("one file is a model of its own")
    func oneFile() throws {
        let model = TestModel(layers: 1)
        try directory.write(model.file(model.tensors), to: "tiny.safetensors")
        let store = try store()
        let summary = try store.importModelBlocking(ImportRequest(source: directory("tiny.safetensors")))
        #expect(summary.revisions[0].model == "tiny")
        #expect(try store.revision("tiny").files().map(\.path) == ["tiny.safetensors"])
    }

    @Test("--move removes each source file once its bytes are durable, and nothing else")
    func move() throws {
        try TestModel().write(to: directory("model"), files: 3)
        try directory.write("elsewhere", to: "outside.txt")
        try FileManager.default.createSymbolicLink(
            atPath: directory("model/link.txt"), withDestinationPath: directory("outside.txt"))
        let originals = try Dictionary(
            uniqueKeysWithValues: TemporaryDirectory.files(below: directory("model")).map {
                ($0, try contents(directory("model/\($0)")))
            })
        let store = try store()
        var request = ImportRequest(source: directory("model"))
        request.move = true
        let summary = try store.importModelBlocking(request)
        #expect(summary.moved == originals.count - 1)
        // A link that leads outside is neither imported nor removed.
        #expect(TemporaryDirectory.files(below: directory("model")) == ["link.txt"])
        #expect(summary.skipped.map(\.path) == ["link.txt"])
        #expect(try contents(directory("outside.txt")) == Array("elsewhere".utf8))
        let revision = try store.revision("model")
        try revision.exportBlocking(to: directory("out"))
        for (name, bytes) in originals where name != "link.txt" {
            #expect(try contents(directory("out/\(name)")) == bytes, "\(name)")
        }
        #expect(try store.revisions(of: "model").count == 1)
    }

    @Test("--move of one file removes it")
    func moveFile() throws {
        let model = TestModel(layers: 1)
        let path = try directory.write(model.file(model.tensors), to: "one/model.safetensors")
        let store = try Store(at: directory("store"), create: true)
        var request = ImportRequest(source: path, name: "one")
        request.move = true
        #expect(try store.importModelBlocking(request).moved == 1)
        #expect(!FileManager.default.fileExists(atPath: path))
        #expect(try store.revision("one").files().map(\.path) == ["model.safetensors"])
    }

    @Test("a directory that lacks a file of its index is refused, unless the caller allows it")
    func incomplete() throws {
        try TestModel().write(to: directory("model"), files: 3)
        let missing = "model-00002-of-00003.safetensors"
        try FileManager.default.removeItem(atPath: directory("model/\(missing)"))
        let store = try store()
        var request = ImportRequest(source: directory("model"))
        #expect(throws: StoreError.incomplete(path: directory("model"), missing: [missing])) {
            try store.importModelBlocking(request)
        }
        #expect(try store.models().isEmpty)
        request.partial = true
        #expect(try store.importModelBlocking(request).revisions[0].files == 5)
    }

    @Test("a file that breaks its format is refused by name, and the store is as it was")
    func malformed() throws {
        try TestModel().write(to: directory("model"))
        let path = directory("model/model.safetensors")
        let whole = try contents(path)
        try directory.write(whole.dropLast(100), to: "model/model.safetensors")
        let store = try store()
        let error = #expect(throws: FormatError.self) {
            try store.importModelBlocking(ImportRequest(source: directory("model")))
        }
        #expect(error?.file == path)
        #expect(try store.models().isEmpty)
    }

    @Test("a file that changes while it is read is not imported")
    func changing() throws {
        try TestModel(layers: 8, wide: 2048).write(to: directory("model"))
        let path = directory("model/model.safetensors")
        let work = Work()
        let store = try store()
        try startThread {
            while work.progress.done == 0 { usleep(50) }
            guard let file = FileHandle(forUpdatingAtPath: path) else { return }
            _ = try? file.seekToEnd()
            try? file.write(contentsOf: Data([1]))
        }
        do {
            let summary = try store.importModelBlocking(ImportRequest(source: directory("model")), work: work)
            // The writer was too late: the imported bytes are the previous ones.
            #expect(summary.revisions.count == 1)
        } catch let error as StoreError {
            #expect(error == .sourceChanged(path: path))
            #expect(try store.models().isEmpty)
        }
    }

    @Test("a changed model under the same name becomes the next version, and the ref moves to it")
    func nextVersion() throws {
        try TestModel(seed: 1).write(to: directory("model"))
        let store = try store()
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        try TestModel(seed: 2).write(to: directory("model"))
        let summary = try store.importModelBlocking(ImportRequest(source: directory("model")))
        #expect(summary.revisions.map(\.version) == [2])
        #expect(try store.revision("model").version == 2)
        #expect(try store.revision("model@main").version == 2)
        #expect(try store.revision("model@~1").version == 1)
    }

    @Test(
        "names that could leave the store, or confuse a shell, are refused",
        arguments: [
            "../up", "a/b/c", "", "a b", "-x", "org/", ".hidden", "a/.b", "x\n", String(repeating: "x", count: 201),
        ])
    func names(name: String) throws {
        try TestModel(layers: 1).write(to: directory("model"))
        let store = try store()
        let error = #expect(throws: StorageError.self) {
            try store.importModelBlocking(ImportRequest(source: directory("model"), name: name))
        }
        guard case .invalid = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test("links within the source are followed; circles, and links that lead outside, are skipped with a reason")
    func links() throws {
        try TestModel(layers: 1).write(to: directory("model/real"))
        try directory.write("secret", to: "outside/passwords")
        for (link, target) in [
            ("weights", "real"), ("again.json", "real/config.json"), ("self", "."), ("gone", "/nowhere"),
            ("loop", "loop"), ("tokenizer.json", directory("outside/passwords")), ("all", directory("outside")),
        ] {
            try FileManager.default.createSymbolicLink(
                atPath: directory("model/\(link)"), withDestinationPath: target)
        }
        let store = try store()
        let summary = try store.importModelBlocking(ImportRequest(source: directory("model")))
        let paths = try store.revision("model").files().map(\.path)
        #expect(paths.contains("weights/model.safetensors") && paths.contains("again.json"))
        #expect(Set(summary.skipped.map(\.path)) == ["self", "gone", "loop", "tokenizer.json", "all"])
        #expect(summary.skipped.count { $0.reason.contains("outside of the source") } == 2)
        #expect(!paths.contains { $0.contains("passwords") })
    }
}
