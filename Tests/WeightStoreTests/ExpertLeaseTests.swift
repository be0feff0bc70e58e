import Foundation
import ModelFormats
import Storage
import TestSupport
import Testing
@testable import Tiers
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

    private func hub(_ model: TestModel = Self.model) throws -> RecordingHub {
        try model.write(to: directory("model"))
        return RecordingHub(path: "model.safetensors", bytes: try contents(directory("model/model.safetensors")))
    }

    /// A store that has pulled a model from a hub without its bytes. The hub has recorded no reads since.
    private func pulledWithoutBytes(
        _ model: TestModel
    ) throws -> (hub: RecordingHub, store: Store, request: PullRequest) {
        let hub = try hub(model)
        let store = try Store(at: directory("store"), unfetchedFrom: hub)
        var request = try PullRequest("org/model")
        request.origin = hub.url
        request.selection = FetchSelection.nothing
        _ = hub.reads()
        return (hub, store, request)
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
        #expect(throws: StorageError.self) { try revision.leaseBlocking(experts: 0...8, ofLayer: 1, in: tier) }
        try check(revision.leaseBlocking(experts: 0...7, ofLayer: 0, in: tier)) { isExpert($0, layer: 0, 0...7) }
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
        let (hub, store, pulled) = try pulledWithoutBytes(Self.model)
        var request = pulled
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

    @Test("a pull, lease, stream or prefetch of layers or experts that no tensor has is refused, and fetches nothing")
    func absentNumbers() throws {
        func absent(_ body: () throws -> Void) throws -> String? {
            do { try body() } catch StorageError.notFound(let kind, _, _) { return kind }
            return nil
        }
        let (hub, store, pulled) = try pulledWithoutBytes(Self.model)
        var request = pulled
        for (selection, kind) in [
            (FetchSelection(experts: 8...99), "expert"), (FetchSelection(layers: 0...1, experts: 8...8), "expert"),
            (FetchSelection(layers: 3...9), "layer"), (FetchSelection(layers: 3...3, experts: 0...7), "layer"),
            (FetchSelection(layers: 1...3), "layer"), (FetchSelection(experts: 7...8), "expert"),
        ] {
            request.selection = selection
            #expect(try absent { try store.pullBlocking(request) } == kind, "\(selection)")
        }
        let revision = try store.revision("org/model")
        for layers in [nil, 0...0, 2...2] as [ClosedRange<Int>?] {
            #expect(
                try absent { _ = try revision.leaseBlocking(layers: layers, withExperts: 8...9, in: .ram) } == "expert")
        }
        #expect(try absent { _ = try revision.leaseBlocking(layers: 3...9, in: .ram) } == "layer")
        #expect(try absent { _ = try revision.leaseBlocking(layers: 0...3, in: .ram) } == "layer")
        #expect(try absent { _ = try revision.stream(to: .ram, experts: 8...9) } == "expert")
        #expect(try absent { _ = try revision.stream(to: .ram, layers: 3...9) } == "layer")
        #expect(try absent { try revision.prefetch(layers: 0...2, experts: 8...9, in: .ram) } == "expert")
        #expect(try absent { try revision.prefetch(layers: 3...9, in: .ram) } == "layer")
        #expect(hub.reads().isEmpty)
        // A refused pull adds no model.
        let fresh = try Store(at: directory("fresh"), create: true)
        fresh.register(scheme: "made") { _ in hub }
        request.selection = FetchSelection(experts: 8...99)
        #expect(try absent { try fresh.pullBlocking(request) } == "expert")
        request.selection = FetchSelection(layers: 3...9)
        #expect(try absent { try fresh.pullBlocking(request) } == "layer")
        #expect(try fresh.models().isEmpty)
        // A stack has experts, too.
        try Self.stacked.write(to: directory("stacked"))
        try store.importModelBlocking(ImportRequest(source: directory("stacked")))
        let stacked = try store.revision("stacked")
        #expect(try absent { _ = try stacked.leaseBlocking(withExperts: 8...9, in: .ram) } == "expert")
        #expect(try absent { _ = try stacked.leaseBlocking(withExperts: 7...8, in: .ram) } == "expert")
        #expect(try !stacked.leaseBlocking(withExperts: 7...7, in: .ram).tensors.isEmpty)
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

    // MARK: Tensors that stack all experts

    private static let stack = "model.layers.0.mlp.experts.gate_up_proj"
    private static let bias = "model.layers.0.mlp.experts.gate_up_proj_bias"
    /// No multiple of a page.
    private static let stackedBytes = 64 * 2049
    private static let biasBytes = 2 * 128

    /// A layer with 8 experts in two tensors: one that is a shard, and one in a pack.
    private static let stacked: TestModel = {
        var model = TestModel(layers: 1)
        model.tensors.append(.init(name: stack, dtype: "U8", shape: [8, 64, 2049]))
        model.tensors.append(.init(name: bias, dtype: "BF16", shape: [8, 128]))
        return model
    }()

    private func stackedStore() throws -> Store {
        try Self.stacked.write(to: directory("model"))
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        return store
    }

    /// The bytes of an expert in one of the two tensors.
    private func stackedBytes(of name: String, expert: Int) throws -> [UInt8] {
        let info = try #require(try SafetensorsWriter(Self.stacked.tensors).tensors.first { $0.name == name })
        let size = info.bytes / 8
        return Array(Self.stacked.bytes(of: info)[expert * size..<(expert + 1) * size])
    }

    /// Compares a lease on experts with the model: each as a tensor, at its address, too.
    private func checkStacked(_ lease: Lease, _ experts: ClosedRange<Int>) throws {
        let names = [Self.stack, Self.bias].flatMap { Array(repeating: $0, count: experts.count) }
        let numbers = (Array(experts) + Array(experts)).map(Optional.some)
        #expect(lease.tensors.map(\.entry.name) == names)
        #expect(lease.tensors.map(\.entry.expert) == numbers)
        #expect(lease.bytes == experts.count * (Self.stackedBytes + Self.biasBytes))
        for tensor in lease.tensors {
            let isBias = tensor.entry.name == Self.bias
            #expect(tensor.entry.shape == (isBias ? [128] : [64, 2049]))
            #expect(tensor.strides == (isBias ? [1] : [2049, 1]))
            let expected = try stackedBytes(of: tensor.entry.name, expert: try #require(tensor.entry.expert))
            #expect(tensor.entry.bytes == expected.count)
            try lease.withUnsafeBytes(of: tensor) { #expect(Array($0) == expected) }
            let address = try #require(lease.address(of: tensor))
            let memory = UnsafeRawBufferPointer(
                start: UnsafeRawPointer(bitPattern: UInt(address)), count: expected.count)
            #expect(Array(memory) == expected)
        }
    }

    @Test("an expert of a tensor that stacks all experts is leased alone, in each tier", arguments: ["ram", "host"])
    func stackedLease(name: String) async throws {
        let tier = try Tier(name)
        let store = try stackedStore()
        let revision = try store.revision("model")
        let memory = try store.tiers.open(tier)
        let one = try await revision.lease(expert: 5, ofLayer: 0, in: tier)
        try checkStacked(one, 5...5)
        #expect(memory.gauge.bytes == one.bytes && memory.gauge.leased == one.bytes)
        // The next lease loads the two experts that are not there yet.
        let three = try await revision.lease(experts: 4...6, ofLayer: 0, in: tier)
        try checkStacked(three, 4...6)
        #expect(memory.gauge.bytes == three.bytes && memory.gauge.loaded == three.bytes)
        #expect(throws: StorageError.self) { try revision.leaseBlocking(experts: 8...9, ofLayer: 0, in: tier) }
        #expect(throws: StorageError.self) { try revision.leaseBlocking(experts: 0...0, ofLayer: 1, in: tier) }
        try checkStacked(revision.leaseBlocking(experts: 7...7, ofLayer: 0, in: tier), 7...7)

        // A lease on one tensor of a lease.
        let shared = three.share(three.tensors[1])
        three.release()
        one.release()
        let expected = try stackedBytes(of: Self.stack, expert: 5)
        try shared.withUnsafeBytes(of: shared.tensors[0]) { #expect(Array($0) == expected) }
        #expect(memory.gauge.leased == Self.stackedBytes && memory.isExact)
        shared.release()
        #expect(store.clear(tier) == 4 * (Self.stackedBytes + Self.biasBytes))
        #expect(memory.gauge.bytes == 0 && memory.isExact)
    }

    @Test("a stack and an expert of it are resident beside each other, and each counts", arguments: ["ram", "host"])
    func stackAndExpert(name: String) async throws {
        let tier = try Tier(name)
        let store = try stackedStore()
        let revision = try store.revision("model")
        let memory = try store.tiers.open(tier)
        let whole = try await revision.lease(tensor: Self.stack, in: tier)
        #expect(whole.tensors.map(\.entry.shape) == [[8, 64, 2049]])
        #expect(memory.gauge.bytes == 8 * Self.stackedBytes)
        let one = try await revision.lease(expert: 7, ofLayer: 0, in: tier)
        try checkStacked(one, 7...7)
        #expect(memory.gauge.bytes == 9 * Self.stackedBytes + Self.biasBytes && memory.isExact)
        whole.release()
        one.release()

        // A rank has stacks whole, and the tensors outside of the experts have none.
        let rank = try await revision.lease(withExperts: 0...1, in: tier)
        #expect(try rank.tensor(Self.stack).entry.shape == [8, 64, 2049])
        let rest = try await revision.lease(nonExpertsOfLayer: 0, in: tier)
        #expect(!rest.tensors.isEmpty && !rest.tensors.contains { $0.entry.name.contains("experts") })
    }

    @Test("experts of a stack are evicted one by one, and never a leased one", arguments: ["ram", "host"])
    func stackedEviction(name: String) async throws {
        let tier = try Tier(name)
        let store = try stackedStore()
        let revision = try store.revision("model")
        try store.open(tier, TierOptions(budget: 4 * (Self.stackedBytes + Self.biasBytes) + 8192))
        let memory = try store.tiers.open(tier)
        let held = try await revision.lease(expert: 0, ofLayer: 0, in: tier)
        for expert in [1, 2, 3, 4, 5, 6, 7, 1, 0] {
            let lease = try await revision.lease(expert: expert, ofLayer: 0, in: tier)
            try checkStacked(lease, expert...expert)
            #expect(memory.isExact)
        }
        try checkStacked(held, 0...0)
        #expect(memory.gauge.evictions >= 5)
    }

    @Test("an expert of a stack is mapped from disk")
    func stackedMapping() throws {
        let store = try stackedStore()
        let revision = try store.revision("model")
        let tensors = try revision.expert(3, ofLayer: 0)
        #expect(tensors.map(\.entry.name) == [Self.stack, Self.bias])
        #expect(tensors.map(\.entry.shape) == [[64, 2049], [128]] && tensors.map(\.entry.expert) == [3, 3])
        for tensor in tensors {
            let expected = try stackedBytes(of: tensor.entry.name, expert: 3)
            #expect(tensor.bytes.withUnsafeBytes { Array($0) } == expected)
        }
        #expect(throws: StorageError.self) { try revision.expert(8, ofLayer: 0) }
    }

    @Test("a stack that was never fetched is fetched whole for one of its experts, and only the expert is in the tier")
    func stackedFetch() async throws {
        let (hub, store, _) = try pulledWithoutBytes(Self.stacked)
        let revision = try store.revision("org/model")
        #expect(throws: StorageError.self) { try revision.leaseBlocking(experts: 8...9, ofLayer: 0, in: .ram) }
        #expect(hub.reads().isEmpty)
        let lease = try await revision.lease(expert: 6, ofLayer: 0, in: .ram)
        try checkStacked(lease, 6...6)
        #expect(hub.reads().reduce(0) { $0 + $1.count } >= 8 * Self.stackedBytes)
        #expect(try store.tiers.open(.ram).gauge.bytes == lease.bytes)
        // The others are on disk now.
        try checkStacked(await revision.lease(experts: 0...7, ofLayer: 0, in: .host), 0...7)
        #expect(hub.reads().isEmpty)
    }

    @Test("in a GGUF file, the dimension of experts is the last one")
    func stackedGGUF() throws {
        func number<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
            withUnsafeBytes(of: value.littleEndian, Array.init)
        }
        let name = "blk.0.ffn_up_exps.weight"
        var file = Array("GGUF".utf8) + number(UInt32(3)) + number(UInt64(1)) + number(UInt64(0))
        file += number(UInt64(name.utf8.count)) + Array(name.utf8) + number(UInt32(3))
        // 8 experts with 16 rows of 32 elements, in F32.
        for dimension in [32, 16, 8] { file += number(UInt64(dimension)) }
        file += number(UInt32(0)) + number(UInt64(0))
        file += [UInt8](repeating: 0, count: (32 - file.count % 32) % 32)
        let data = (0..<8 * 2048).map { UInt8(truncatingIfNeeded: $0 / 2048 * 31 + $0) }
        try directory.write(file + data, to: "gguf/model.gguf")
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("gguf"), name: "model"))
        let lease = try store.revision("model").leaseBlocking(experts: 2...2, ofLayer: 0, in: .ram)
        #expect(lease.tensors.map(\.entry.shape) == [[32, 16]] && lease.tensors.map(\.entry.expert) == [2])
        try lease.withUnsafeBytes(of: lease.tensors[0]) { #expect(Array($0) == Array(data[2 * 2048..<3 * 2048])) }
    }

    @Test("an expert of a tensor that stacks all experts is a range of its bytes")
    func stackedRange() throws {
        let store = try stackedStore()
        let lease = try store.revision("model").leaseBlocking(tensor: Self.stack, in: .ram)
        let tensor = try lease.tensor(Self.stack)
        let range = try #require(tensor.entry.range(ofExpert: 5, format: .safetensors))
        #expect(range == 5 * Self.stackedBytes..<6 * Self.stackedBytes)
        #expect(tensor.entry.range(ofExpert: 8, format: .safetensors) == nil)
        let expected = try stackedBytes(of: Self.stack, expert: 5)
        try lease.withUnsafeBytes(of: tensor) { #expect(Array($0[range]) == expected) }
    }
}
