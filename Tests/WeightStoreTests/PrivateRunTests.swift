import TestSupport
import Testing
@testable import Tiers
@testable import WeightStore

/// Many tensors in memory that can be written, neighbours in one mapping.
@Suite(.blocking)
struct PrivateRunTests {
    private let directory = try! TemporaryDirectory()

    @Test("a write to a tensor changes no other one: no neighbour in its shard, and none with the same bytes")
    func writes() throws {
        var model = TestModel(layers: 6, wide: 64)
        for kind in ["input_layernorm", "self_attn.q_proj", "self_attn.k_proj", "mlp.up_proj"] {
            model.copies["model.layers.1.\(kind).weight"] = "model.layers.0.\(kind).weight"
        }
        try model.write(to: directory("model"))
        let store = try Store(at: directory("store"), create: true)
        try store.importModelBlocking(ImportRequest(source: directory("model")))
        let revision = try store.revision("model")
        var own = Optional(try revision.leasePrivately())
        let tensors = try #require(own).lease.tensors
        let runs = PrivateRun.all(tensors)
        // Two for the shard that two layers share.
        let shards = Set(tensors.compactMap { $0.shard?.digest })
        #expect(runs.count == shards.count + 1)
        #expect(Set(runs.flatMap { $0.parts.map(\.index) }) == Set(tensors.indices))
        func memory(_ index: Int) throws -> UnsafeMutableRawBufferPointer {
            let memory = try #require(own?.memory[index])
            #expect(memory.address % 64 == 0)
            return UnsafeMutableRawBufferPointer(
                start: UnsafeMutableRawPointer(bitPattern: memory.address), count: memory.count)
        }
        func differing(_ expected: (Int) throws -> [UInt8]) throws -> [String] {
            try tensors.indices.filter { try !memory($0).elementsEqual(try expected($0)) }
                .map { tensors[$0].entry.name }
        }
        let shared = try revision.leaseBlocking(in: .ram)
        func stored() throws -> [[UInt8]] {
            try shared.tensors.map { try shared.withUnsafeBytes(of: $0) { Array($0) } }
        }
        let original = try stored()
        #expect(tensors.map(\.entry.name) == shared.tensors.map(\.entry.name))
        #expect(try differing { original[$0] } == [])
        for index in tensors.indices { try memory(index).initializeMemory(as: UInt8.self, repeating: UInt8(index)) }
        #expect(try differing { [UInt8](repeating: UInt8($0), count: original[$0].count) } == [])
        // The memory of one stays when all others are released.
        let one = try #require(own).share(3)
        own = nil
        let memory = try #require(one.memory[0])
        let bytes = try #require(UnsafeRawPointer(bitPattern: memory.address))
        #expect(UnsafeRawBufferPointer(start: bytes, count: memory.count).allSatisfy { $0 == 3 })
        #expect(try stored() == original)
    }
}
