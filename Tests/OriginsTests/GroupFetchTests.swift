import Foundation
import TestSupport
import Testing
import WeightStore

/// Evicted revisions of very many small shards are fetched again in groups.
@Suite(.blocking) struct GroupFetchTests {
    private static let layers = 2000
    private static let tensorBytes = 2000

    /// A model with a small shard for each layer.
    private static let model: TestModel = {
        var model = TestModel()
        model.tensors = (0..<layers).map {
            .init(name: "model.layers.\($0).weight", dtype: "U8", shape: [tensorBytes])
        }
        return model
    }()

    /// A hub, and a store from which all shards of its model were evicted.
    private func evicted(_ model: TestModel = Self.model) throws -> HubFixture {
        let fixture = try HubFixture(model)
        let pull = try fixture.tool()("pull", "org/model")
        #expect(pull.status == 0, "\(pull.errors)")
        // Less than a terabyte can be evicted.
        #expect(try fixture.tool()("evict", "--free", "1T").status == 13)
        try fixture.hub.set()
        return fixture
    }

    /// Requires that the store has all bytes of the model, and no other files.
    private func check(_ fixture: HubFixture) throws {
        #expect(try fixture.tool()("cat", "org/model", "model.safetensors").bytes == fixture.file())
        #expect(try fixture.tool()("verify").status == 0)
        #expect(TemporaryDirectory.files(below: fixture.directory("store/partial")).isEmpty)
    }

    private func ranges(_ fixture: HubFixture) throws -> [HubServer.Request] {
        try fixture.hub.requests().filter { $0.place == "cdn" }
    }

    @Test("a load of thousands of evicted packs needs far fewer requests than shards")
    func load() throws {
        let fixture = try evicted()
        let load = try fixture.tool()("load", "org/model", "--to", "ram")
        #expect(load.status == 0, "\(load.errors)")
        let requests = try ranges(fixture).count
        #expect(requests < Self.layers / 4, "\(requests) requests")
        #expect(try fixture.hub.served() < 2 * fixture.bytes)
        try check(fixture)
    }

    @Test("a read of a file of thousands of evicted packs needs far fewer requests than shards")
    func read() throws {
        let fixture = try evicted()
        #expect(try fixture.tool()("cat", "org/model", "model.safetensors").bytes == fixture.file())
        let requests = try ranges(fixture).count
        #expect(requests < Self.layers / 8, "\(requests) requests")
        try check(fixture)
    }

    @Test("an evicted pack of thousands of tensors is fetched with few requests")
    func tensors() throws {
        var model = TestModel()
        model.tensors = (0..<4000).map { .init(name: "model.layers.0.\($0).weight", dtype: "U8", shape: [100]) }
        let fixture = try evicted(model)
        #expect(try fixture.tool()("load", "org/model", "--to", "ram").status == 0)
        let requests = try ranges(fixture).count
        #expect(requests < 20, "\(requests) requests")
        try check(fixture)
    }

    @Test("packs of the usual size, of weights between their scales, are fetched in groups, too")
    func largePacks() throws {
        var model = TestModel()
        model.tensors = (0..<16).flatMap { layer in
            (0..<64).flatMap { number in
                [("weight", 16384), ("weight_scale_inv", 8)].map { name, bytes in
                    .init(name: "model.layers.\(layer).\(number).\(name)", dtype: "U8", shape: [bytes])
                }
            }
        }
        let fixture = try evicted(model)
        #expect(try fixture.tool()("load", "org/model", "--to", "ram").status == 0)
        let requests = try ranges(fixture).count
        #expect(requests < 40, "\(requests) requests")
        try check(fixture)
    }

    @Test("of a range with a wrong byte, only the shard with that byte fails; the others are stored")
    func damaged() throws {
        let fixture = try evicted()
        var fault = HubServer.Fault("corrupt", "safetensors", times: 1_000_000)
        let size = try fixture.file().count
        fault.after = size - Self.tensorBytes * Self.layers / 2
        try fixture.hub.set([fault])
        let load = try fixture.tool()("load", "org/model", "--to", "ram")
        #expect(load.status != 0)
        try fixture.hub.set()
        #expect(try fixture.tool()("load", "org/model", "--to", "ram").status == 0)
        let served = try fixture.hub.served()
        #expect(served == Self.tensorBytes, "\(served) bytes")
        try check(fixture)
    }

    @Test("a load that is killed while groups arrive leaves a store that verifies, and the next one resumes")
    func kill() throws {
        let fixture = try evicted()
        try fixture.hub.set(
            (0..<400).map { _ in
                var fault = HubServer.Fault("slow", "^/org/model/model")
                fault.pace = 0.02
                return fault
            })
        let run = try fixture.tool().start(["load", "org/model", "--to", "ram"])
        let blobs = fixture.directory("store/blobs")
        let before = TemporaryDirectory.files(below: blobs).count
        try blockUntil { TemporaryDirectory.files(below: blobs).count >= before + 200 }
        run.signal(SIGKILL)
        #expect(run.result().status == 128 + SIGKILL)
        #expect(try fixture.tool()("verify").status == 0)
        let stored = TemporaryDirectory.files(below: blobs).count - before
        try fixture.hub.set()
        #expect(try fixture.tool()("load", "org/model", "--to", "ram").status == 0)
        #expect(try fixture.hub.served() < fixture.bytes - (stored - 1) * Self.tensorBytes + (300 << 10))
        try check(fixture)
    }
}
