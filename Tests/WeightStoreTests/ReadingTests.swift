import Foundation
import ModelFormats
import TestSupport
import Testing
import WeightStore

@Suite(.blocking) struct ReadingTests {
    let directory = try! TemporaryDirectory()
    let model = TestModel(layers: 3)
    let store: Store

    init() throws {
        try model.write(to: directory("org-model"))
        store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("org-model"), name: "org/model"))
    }

    private func original(_ name: String) throws -> [UInt8] {
        let bytes = try contents(directory("org-model/model.safetensors"))
        let layout = try FileLayout.read(MemorySource(name: "", bytes: bytes), format: .safetensors)
        let tensor = try #require(layout.tensors.first { $0.name == name })
        return Array(bytes[tensor.offset..<tensor.offset + tensor.bytes])
    }

    @Test("a tensor has the bytes of its file")
    func tensors() throws {
        let revision = try store.revision("org/model")
        let entries = try revision.tensorEntries()
        #expect(Set(entries.map(\.name)) == Set(model.tensors.map(\.name)))
        for entry in entries {
            let tensor = try revision.tensor(entry.name)
            #expect(try tensor.bytes.withUnsafeBytes { Array($0) } == original(entry.name), "\(entry.name)")
            let expected = try #require(model.tensors.first { $0.name == entry.name })
            #expect(entry.dtype == expected.dtype)
            #expect(entry.shape == expected.shape)
        }
    }

    @Test("a layer is all tensors of its number, and no others")
    func layers() throws {
        let revision = try store.revision("org/model")
        #expect(try revision.layers().map(\.number) == [0, 1, 2])
        for number in 0..<3 {
            let layer = try revision.layer(number)
            let names = model.tensors.map(\.name).filter { $0.hasPrefix("model.layers.\(number).") }
            #expect(Set(layer.tensors.map(\.entry.name)) == Set(names))
            for tensor in layer.tensors {
                #expect(try tensor.bytes.withUnsafeBytes { Array($0) } == original(tensor.entry.name))
            }
        }
        let error = #expect(throws: StorageError.self) { try revision.layer(3) }
        #expect("\(error!)".contains("no such layer"))
    }

    @Test("a revision is found by ref, version, commit, digest and a prefix of the digest")
    func names() throws {
        let revision = try store.revision("org/model")
        let digest = revision.digest.hex
        for name in [
            "main", "~1", "v1", digest, String(digest.prefix(6)), "sha256:\(digest)", String(digest.prefix(40)),
        ] {
            #expect(try store.revision("org/model@\(name)").digest == revision.digest, "\(name)")
        }
        try store.setRef("prod", to: "org/model@~1")
        #expect(try store.revision("org/model@prod").digest == revision.digest)
        try store.removeRef("prod", of: "org/model")
        let fullWidth = "org/model@ＡＡＡＡＡＡ"
        for name in [
            "org/model@prod", "org/model@~2", "org/model@v2", "org/model@", "org/model@\(digest.prefix(5))", fullWidth,
            "org/other", "",
        ] {
            let error = #expect(throws: StorageError.self) { try store.revision(name) }
            guard case .notFound = error else {
                Issue.record("\(name): \(String(describing: error))")
                continue
            }
        }
    }

    @Test("a prefix that matches several revisions is ambiguous, and the error names them")
    func ambiguous() throws {
        // Twenty versions: two of their digests begin with the same hexadecimal digit, not with six.
        for seed in 2..<4 as Range<UInt64> {
            try TestModel(layers: 1, seed: seed, wide: 8).write(to: directory("org-model"))
            try store.importModelBlocking(ImportRequest(source: directory("org-model"), name: "org/model"))
        }
        let digests = try store.revisions(of: "org/model").map(\.digest.hex)
        #expect(Set(digests).count == 3)
        for digest in digests { #expect(try store.revision("org/model@\(digest.prefix(12))").digest.hex == digest) }
    }

    @Test("mapped bytes outlive the removal of their blob")
    func outliveRemoval() throws {
        let revision = try store.revision("org/model")
        let tensor = try revision.tensor("model.embed_tokens.weight")
        let expected = try original("model.embed_tokens.weight")
        for file in TemporaryDirectory.files(below: directory("store/blobs")) {
            try FileManager.default.removeItem(atPath: directory("store/blobs/\(file)"))
        }
        #expect(tensor.bytes.withUnsafeBytes { Array($0) } == expected)
    }

    @Test("a blob that is cut short or missing is a typed error that names it, and no SIGBUS")
    func damaged() throws {
        let revision = try store.revision("org/model")
        let entry = try #require(try revision.tensorEntries(named: "model.embed_tokens.weight").first)
        let digest = try #require(entry.shard)
        let path = directory("store/blobs/\(digest.hex.prefix(2))/\(digest.hex)")
        let whole = try contents(path)
        try FileManager.default.removeItem(atPath: path)
        #expect(throws: StorageError.missing(path: path, digest: digest)) { try revision.tensor(entry.name) }
        try Data(whole.dropLast()).write(to: URL(fileURLWithPath: path))
        #expect(
            throws: StorageError.damaged(
                path: path, digest: digest, expected: "\(whole.count) bytes", found: "\(whole.count - 1) bytes")
        ) { try revision.tensor(entry.name) }
    }

    @Test("a file whose shard changed on disk is detected by its SHA-256 when it is exported")
    func changed() throws {
        let revision = try store.revision("org/model")
        let digest = try #require(try revision.tensorEntries(named: "model.embed_tokens.weight").first?.shard)
        let path = directory("store/blobs/\(digest.hex.prefix(2))/\(digest.hex)")
        var bytes = try contents(path)
        bytes[1000] ^= 1
        try FileManager.default.removeItem(atPath: path)
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        let error = #expect(throws: StorageError.self) {
            try revision.exportBlocking(to: directory("out"), paths: ["model.safetensors"])
        }
        guard case .damaged = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(!FileManager.default.fileExists(atPath: directory("out/model.safetensors")))
        #expect(TemporaryDirectory.files(below: directory("out")).isEmpty)
    }

    @Test("export keeps existing files, unless replacing is requested")
    func overwrite() throws {
        let revision = try store.revision("org/model")
        try directory.write("mine", to: "out/config.json")
        #expect(throws: StorageError.self) { try revision.exportBlocking(to: directory("out")) }
        #expect(try contents(directory("out/config.json")) == Array("mine".utf8))
        try revision.exportBlocking(to: directory("out"), overwriting: true)
        #expect(try contents(directory("out/config.json")) == contents(directory("org-model/config.json")))
    }

    @Test("accesses are counted, in batches, and survive the process")
    func accesses() throws {
        do {
            let other = try Store(at: directory("store"))
            for _ in 0..<3 { _ = try other.revision("org/model").layer(1) }
        }
        let model = try #require(try store.models().first)
        #expect(model.accesses == 3)
        #expect(try store.stats().accesses == 3 * 3)
    }

    @Test("more blobs can be mapped at once than the kernel allows mappings, and each has its bytes")
    func manyMappings() throws {
        // The bytes of a blob are not compared when it is mapped: one file stands for the shards of a model of experts.
        try directory.write([UInt8](1...100), to: "blob")
        let path = directory("blob")
        let limit = try #require(
            Int(String(decoding: contents("/proc/sys/vm/max_map_count"), as: UTF8.self).prefix { $0.isNumber }))
        let digest = ContentDigest(of: UnsafeRawBufferPointer(start: nil, count: 0))
        let blobs = try (0..<limit + 5000).map { _ in try MappedBlob(path: path, digest: digest, bytes: 100) }
        let areRight = blobs.allSatisfy { blob in
            blob.withUnsafeBytes { $0.count == 100 && $0.first == 1 && $0.last == 100 }
        }
        #expect(areRight)
    }
}
