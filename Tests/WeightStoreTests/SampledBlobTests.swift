import Files
import Foundation
import Glibc
import ModelFormats
import Synchronization
import TestSupport
import Testing
@testable import WeightStore

/// Blobs that were damaged in their full size since an import, and imports that rely on them.
@Suite(.blocking) struct SampledBlobTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws { store = try Store(at: directory("store"), create: true) }

    @discardableResult
    private func importModel(_ source: String = "model", rehash: Bool = false) throws -> ImportSummary {
        var request = ImportRequest(source: directory(source), name: "model")
        request.rehash = rehash
        return try store.importModelBlocking(request)
    }

    private func shards() throws -> [ShardTable.Entry] {
        try store.catalog.read { db in
            try ShardTable.present(of: RevisionRow.find("model", db).id, verifiedBefore: nil, db).shards
                .compactMap { try ShardTable.find(id: $0, db) }
        }
    }

    /// Changes the bytes of a blob in place.
    private func change(_ shard: ShardTable.Entry, _ body: (inout [UInt8]) -> Void) throws {
        let path = store.blobs.path(shard.digest)
        var bytes = try contents(path)
        body(&bytes)
        chmod(path, 0o644)
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        try file.write(contentsOf: Data(bytes))
        try file.close()
        chmod(path, 0o444)
    }

    private func quarantine() throws -> [String] { try FileSystem.entries(store.path + "/quarantine") }

    @Test(
        "blobs that were zeroed are noticed by the next import of their content, set aside, and stored again",
        arguments: ["model", "copy"])
    func zeroed(source: String) throws {
        try TestModel(layers: 1).write(to: directory("model"))
        try FileManager.default.copyItem(atPath: directory("model"), toPath: directory("copy"))
        // So that the store remembers the files of the source.
        usleep(200_000)
        try importModel()
        let shards = try shards()
        for shard in shards { try change(shard) { $0 = Array(repeating: 0, count: $0.count) } }
        let summary = try importModel(source)
        #expect(summary.revisions.map(\.wasKnown) == [true])
        #expect(summary.written == shards.reduce(0) { $0 + $1.bytes })
        #expect(try Set(quarantine()) == Set(shards.map(\.digest.hex)))
        #expect(try store.verifyBlocking().damage.isEmpty)
        var bytes: [UInt8] = []
        try store.revision("model").read("model.safetensors") { bytes += $0 }
        #expect(try bytes == contents(directory("model/model.safetensors")))
    }

    @Test("a changed bit beyond the sample is noticed by an import that hashes everything")
    func rehash() throws {
        try TestModel(layers: 0, wide: 4096).write(to: directory("model"))
        usleep(200_000)
        try importModel()
        let shard = try #require(try shards().max { $0.bytes < $1.bytes })
        try change(shard) { $0[$0.count * 3 / 4] ^= 1 }
        #expect(try importModel().written == 0)
        #expect(try importModel(rehash: true).written == shard.bytes)
        #expect(try quarantine() == [shard.digest.hex])
        #expect(try store.verifyBlocking().damage.isEmpty)
        #expect(try importModel(rehash: true).written == 0)
    }

    /// A model of 300 shards of 4096 bytes, which follow each other in its file.
    private func writeManySmall() throws {
        var model = TestModel(layers: 0)
        model.tensors = (0..<300).map { .init(name: "model.layers.\($0).weight", dtype: "U8", shape: [4096]) }
        try model.write(to: directory("model"))
        usleep(200_000)
    }

    @Test("of many small shards, an import that hashes everything finds those that are damaged, and stores them again")
    func manySmall() throws {
        try writeManySmall()
        try importModel()
        let damaged = try Array(shards().filter { $0.bytes == 4096 }.prefix(20))
        #expect(damaged.count == 20)
        for shard in damaged { try change(shard) { $0[17] ^= 1 } }
        #expect(try importModel(rehash: true).written == 20 * 4096)
        #expect(try Set(quarantine()) == Set(damaged.map(\.digest.hex)))
        #expect(try store.verifyBlocking().damage.isEmpty)
        #expect(try importModel(rehash: true).written == 0)
    }

    @Test("small shards that follow each other are looked up by one statement")
    func oneStatement() throws {
        try writeManySmall()
        try importModel()
        let lookups = Atomic(0)
        let traced = try Store(at: store.path, create: false) { sql in
            if sql.hasPrefix("SELECT digest, bytes, kind, layer, head FROM shard") {
                lookups.add(1, ordering: .relaxed)
            }
        }
        var request = ImportRequest(source: directory("model"), name: "model")
        request.rehash = true
        #expect(try traced.importModelBlocking(request).written == 0)
        let count = lookups.load(ordering: .relaxed)
        // For the header and the three files, others.
        #expect((1...10).contains(count), "\(count)")
    }

    @Test("weights that are zero are no damage")
    func zeroWeights() throws {
        let writer = try SafetensorsWriter(
            [.init(name: "zero", dtype: "F32", shape: [512, 512])], metadata: ["format": "pt"])
        try directory.write(
            writer.header + [UInt8](repeating: 0, count: 512 * 512 * 4), to: "model/model.safetensors")
        usleep(200_000)
        try importModel()
        #expect(try importModel().written == 0)
        #expect(try quarantine().isEmpty)
    }
}
