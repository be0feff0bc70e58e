import TestSupport
import Testing
@testable import WeightStore

/// The bytes of a store by model, layer and shard.
@Suite(.blocking) struct DiskMapTests {
    let directory = try! TemporaryDirectory()
    let store: Store

    init() throws {
        store = try Store(at: directory("store"), create: true)
        try TestModel(layers: 2).write(to: directory("base"))
        try TestModel(layers: 2).tuned(seed: 7).write(to: directory("tuned"))
        for name in ["base", "tuned"] {
            var request = ImportRequest(source: directory(name))
            request.origins = ["file://" + directory(name)]
            try store.importModelBlocking(request)
        }
    }

    @Test("each byte belongs to one group, and shared bytes to that of the models that share them")
    func groups() throws {
        let usage = try store.usage()
        for depth in [DiskMap.Depth.models, .layers, .shards] {
            let map = try store.diskMap(depth: depth)
            #expect(map.groups.reduce(0) { $0 + $1.sum.bytes } == usage.stored, "\(depth)")
            #expect(Set(map.groups.map(\.models)) == [["base"], ["tuned"], ["base", "tuned"]], "\(depth)")
            for group in map.groups {
                #expect(group.layers.isEmpty == (depth == .models))
                if depth == .models { continue }
                #expect(group.layers.reduce(0) { $0 + $1.sum.bytes } == group.sum.bytes)
                for layer in group.layers where depth == .shards {
                    #expect(layer.shards.reduce(0) { $0 + $1.bytes } == layer.sum.bytes)
                }
            }
        }
        let shared = try #require(try store.diskMap().groups.first { $0.models.count == 2 })
        #expect(shared.sum.bytes == usage.models.first?.shared)
        #expect(shared.layers.contains { $0.layer == 0 })
    }

    @Test("the map of one model has its shards alone, with the models that share them")
    func ofModel() throws {
        let map = try store.diskMap(of: "base", depth: .models)
        #expect(Set(map.groups.map(\.models)) == [["base"], ["base", "tuned"]])
        let stored = try #require(try store.usage().models.first { $0.model == "base" }).stored
        #expect(map.groups.reduce(0) { $0 + $1.sum.bytes } == stored)
        #expect(throws: StorageError.self) { try store.diskMap(of: "other") }
    }

    @Test("evicted bytes are absent, and uses are heat")
    func absent() throws {
        _ = try store.revision("base").layer(0)
        store.flush()
        #expect(try store.diskMap().groups.contains { $0.sum.heat > 0 })
        try store.evictBlocking(EvictionRequest(.free(1)))
        let map = try store.diskMap(depth: .shards)
        #expect(map.groups.reduce(0) { $0 + $1.sum.absentBytes } > 0)
        let shards = map.groups.flatMap(\.layers).flatMap(\.shards)
        #expect(shards.contains { $0.state == .evicted })
        #expect(map.groups.reduce(0) { $0 + $1.sum.bytes } == (try store.usage().stored))
    }
}
