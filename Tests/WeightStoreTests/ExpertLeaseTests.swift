import Foundation
import ModelFormats
import Storage
import TestSupport
import Testing
import Tiers
@testable import WeightStore

/// One expert at a time: from disk, in a tier, and from an origin.
@Suite(.blocking) struct ExpertLeaseTests {
    let directory = try! TemporaryDirectory()

    /// Two layers with 8 experts of 1.2 MB each, and a layer without experts.
    private static let model: TestModel = {
        var model = TestModel(layers: 3)
        for layer in 0..<2 {
            for expert in 0..<8 {
                for part in ["w1", "w2", "w3"] {
                    model.tensors.append(
                        .init(
                            name: "model.layers.\(layer).block_sparse_moe.experts.\(expert).\(part).weight",
                            dtype: "U8", shape: [640, 640]))
                }
            }
        }
        return model
    }()
    private static let expertBytes = 3 * 640 * 640

    private func hub() throws -> RecordingHub {
        try Self.model.write(to: directory("model"))
        return RecordingHub(path: "model.safetensors", bytes: try contents(directory("model/model.safetensors")))
    }

    private func check(_ lease: Lease, _ names: (String) -> Bool) throws {
        let wanted = Self.model.tensors.map(\.name).filter(names)
        #expect(!wanted.isEmpty && Set(lease.tensors.map(\.entry.name)) == Set(wanted))
        let layout = try SafetensorsWriter(Self.model.tensors).tensors
        for tensor in lease.tensors {
            let info = try #require(layout.first { $0.name == tensor.entry.name })
            try lease.withUnsafeBytes(of: tensor) { bytes in
                #expect(Array(bytes) == Self.model.bytes(of: info), "\(info.name)")
            }
        }
    }

    private func isExpert(_ name: String, layer: Int, _ experts: ClosedRange<Int>) -> Bool {
        let place = TensorPlace(tensorName: name)
        return place.layer == layer && (place.expert.map(experts.contains) ?? false)
    }

    @Test("an expert and a set of experts are leased alone, in each tier", arguments: ["ram", "host"])
    func lease(name: String) async throws {
        _ = try hub()
        let tier = try Tier(name)
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        let one = try await revision.lease(expert: 3, ofLayer: 1, in: tier)
        try check(one) { isExpert($0, layer: 1, 3...3) }
        // Nothing else was loaded.
        #expect(store.gauges[0].bytes < Self.expertBytes + 4096)
        let set = try await revision.lease(experts: 2...4, ofLayer: 1, in: tier)
        try check(set) { isExpert($0, layer: 1, 2...4) }
        #expect(store.gauges[0].bytes < 3 * (Self.expertBytes + 4096))
        #expect(throws: StorageError.self) { try revision.leaseBlocking(experts: 8...9, ofLayer: 1, in: tier) }
        #expect(throws: StorageError.self) { try revision.leaseBlocking(experts: 0...0, ofLayer: 2, in: tier) }
        try check(revision.leaseBlocking(experts: 0...99, ofLayer: 0, in: tier)) { isExpert($0, layer: 0, 0...7) }
    }

    @Test("an expert is mapped from disk")
    func mapped() throws {
        _ = try hub()
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        let tensors = try revision.expert(2, ofLayer: 0)
        #expect(tensors.map(\.entry.expert) == [2, 2, 2] && tensors.map(\.entry.layer) == [0, 0, 0])
        #expect(Set(tensors.map(\.entry.shard)).count == 1)
        let layout = try SafetensorsWriter(Self.model.tensors).tensors
        for tensor in tensors {
            let info = try #require(layout.first { $0.name == tensor.entry.name })
            #expect(tensor.bytes.withUnsafeBytes { Array($0) } == Self.model.bytes(of: info))
        }
        #expect(throws: StorageError.self) { try revision.expert(8, ofLayer: 0) }
    }

    @Test("a rank leases the tensors outside of the experts, and its own experts")
    func rank() async throws {
        _ = try hub()
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        func isOfRank(_ name: String) -> Bool { TensorPlace(tensorName: name).expert.map((4...7).contains) ?? true }
        try check(await revision.lease(withExperts: 4...7, in: .host), isOfRank)
        try check(await revision.lease(layers: 1...2, withExperts: 4...7, in: .host)) { name in
            isOfRank(name) && (TensorPlace(tensorName: name).layer ?? 0) >= 1
        }
        var layers: [Int?] = []
        for try await lease in try revision.stream(to: .ram, experts: 4...7) {
            try check(lease) { isOfRank($0) && TensorPlace(tensorName: $0).layer == lease.layer }
            layers.append(lease.layer)
        }
        #expect(layers == [0, 1, 2])
        let ram = try #require(store.gauges.first { $0.tier == .ram })
        #expect(ram.bytes < 8 * (Self.expertBytes + 4096) + 3 * (3 << 20))
    }

    @Test("a pull fetches the ranges of the wanted experts, and a lease those of an expert that was never fetched")
    func fetching() async throws {
        let hub = try hub()
        let store = try Store(at: directory("store"), create: true)
        store.register(scheme: "made") { _ in hub }
        var request = try PullRequest("org/model")
        request.origin = hub.url
        request.selection = FetchSelection.nothing
        #expect(try !store.pullBlocking(request).complete)
        _ = hub.reads()
        let revision = try store.revision("org/model")
        let lease = try await revision.lease(expert: 5, ofLayer: 0, in: .ram)
        try check(lease) { isExpert($0, layer: 0, 5...5) }
        #expect(hub.reads().reduce(0) { $0 + $1.count } == Self.expertBytes)

        request.selection = FetchSelection(layers: 1...1, experts: 2...3)
        #expect(try !store.pullBlocking(request).complete)
        let read = hub.reads().reduce(0) { $0 + $1.count }
        #expect(2 * Self.expertBytes..<2 * Self.expertBytes + (3 << 20) ~= read)
        try check(store.revision("org/model").leaseBlocking(experts: 2...3, ofLayer: 1, in: .host)) {
            isExpert($0, layer: 1, 2...3)
        }
        #expect(hub.reads().isEmpty)

        // All of the revision but the other experts.
        request.selection = FetchSelection(experts: 2...3)
        #expect(try !store.pullBlocking(request).complete)
        _ = hub.reads()
        let rank = try await store.revision("org/model").lease(withExperts: 2...3, in: .ram)
        try check(rank) { TensorPlace(tensorName: $0).expert.map((2...3).contains) ?? true }
        #expect(hub.reads().isEmpty)
        for entry in try revision.tensorEntries() {
            let isHere =
                entry.expert.map { (2...3).contains($0) } ?? true || (entry.layer == 0 && entry.expert == 5)
            #expect((entry.shard != nil) == isHere, "\(entry.name)")
        }
        request.selection = FetchSelection()
        #expect(try store.pullBlocking(request).complete)
        #expect(try store.verifyBlocking().damage.isEmpty)
    }

    @Test("a pull by manifest selects the shards of the wanted experts, and those outside of the experts")
    func manifestSelection() throws {
        _ = try hub()
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        let manifest = try #require(try store.shards(of: revision.digest)).manifest
        let file = try #require(manifest.files.first { $0.path == "model.safetensors" })
        func selected(_ selection: FetchSelection) -> Set<ContentDigest> {
            Set(selection.shards(of: file).map(\.digest))
        }
        let entries = try revision.tensorEntries()
        let others = Set(entries.filter { $0.expert.map { !(2...3).contains($0) } ?? false }.compactMap(\.shard))
        #expect(others.count == 2 * 6)
        #expect(selected(FetchSelection(experts: 2...3)) == Set(file.content.shards.map(\.digest)).subtracting(others))
        let layer = Set(entries.filter { $0.layer == 1 }.compactMap(\.shard))
        #expect(selected(FetchSelection(layers: 1...1, experts: 2...3)) == layer.subtracting(others))
        // There are no such experts.
        #expect(selected(FetchSelection(layers: 0...1, experts: 100...200)).isDisjoint(with: others))
    }

    @Test("an evicted expert is fetched again alone")
    func evicted() async throws {
        _ = try hub()
        let store = try Store(at: directory("store"), create: true)
        var request = ImportRequest(source: directory("model"))
        request.origins = ["file://\(directory("model"))"]
        try store.importModelBlocking(request)
        try store.evictBlocking(EvictionRequest(.downTo(0)))
        let revision = try store.revision("model")
        try check(await revision.lease(expert: 6, ofLayer: 1, in: .host)) { isExpert($0, layer: 1, 6...6) }
        #expect(try store.usage().stored == Self.expertBytes)
    }

    @Test("an expert of a tensor that stacks all experts is a range of its bytes")
    func stack() throws {
        var model = TestModel(layers: 1)
        let name = "model.layers.0.mlp.experts.gate_up_proj"
        model.tensors.append(.init(name: name, dtype: "BF16", shape: [8, 64, 2048]))
        try model.write(to: directory("model"))
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let lease = try store.revision("model").leaseBlocking(tensor: name, in: .ram)
        let tensor = try lease.tensor(name)
        let range = try #require(tensor.entry.range(ofExpert: 5))
        #expect(range == 5 * 262_144..<6 * 262_144)
        #expect(tensor.entry.range(ofExpert: 8) == nil)
        let info = try #require(try SafetensorsWriter(model.tensors).tensors.first { $0.name == name })
        try lease.withUnsafeBytes(of: tensor) { #expect(Array($0[range]) == Array(model.bytes(of: info)[range])) }
    }
}
