import Foundation
import TestSupport
import Testing

/// Pulls of more shards than a process may have open files.
@Suite(.blocking) struct ManyPacksTests {
    private static let layers = 500
    /// Of 32 open shards at 256 open files, half are a group.
    private static let group = 16

    /// A model with a small shard for each layer.
    ///
    /// - Parameter dtypes: of the two tensors of each layer. A file has all tensors of one type before those of another.
    private func model(_ dtypes: [(name: String, count: Int)]) -> TestModel {
        var model = TestModel()
        model.tensors = []
        for layer in 0..<Self.layers {
            for (name, dtype) in zip(["a", "b"], dtypes) {
                model.tensors.append(
                    .init(name: "model.layers.\(layer).\(name).weight", dtype: dtype.name, shape: [dtype.count]))
            }
        }
        return model
    }

    /// Pulls a model at 256 open files.
    ///
    /// - Returns: the ranges that were requested.
    private func pull(_ model: TestModel) throws -> [String] {
        let fixture = try HubFixture(model)
        var tool = fixture.tool()
        tool.prefix = ["/bin/sh", "-c", "ulimit -n 256; exec \"$0\" \"$@\""]
        let result = try tool("pull", "org/model", "--origin", fixture.hub.url)
        #expect(result.status == 0, "\(result.errors)")
        let requests = try fixture.hub.requests().filter { $0.place == "cdn" }
        tool.prefix = []
        #expect(try tool("cat", "org/model", "model.safetensors").bytes == fixture.file())
        return requests.compactMap(\.range)
    }

    @Test("a pull of many scattered shards at 256 open files needs two requests for each group of them")
    func scattered() throws {
        let ranges = try pull(model([("F32", 512), ("U8", 2048)]))
        #expect(ranges.count < 3 * Self.layers / Self.group, "\(ranges.count) requests")
    }

    @Test("a pull of many small shards at 256 open files begins few of them at once, though a range holds hundreds")
    func neighbours() throws {
        let ranges = try pull(model([("U8", 1000), ("U8", 1000)]))
        #expect(ranges.count < 2 * Self.layers / Self.group, "\(ranges.count) requests")
    }
}
