import Foundation
import TestSupport
import Testing

/// `weightstore load` onto a GPU, with and without a driver.
@Suite(.blocking) struct LoadCommandTests {
    private let directory: TemporaryDirectory
    private let base = TestModel(layers: 2)

    init() throws {
        directory = try TemporaryDirectory()
        try base.write(to: directory("model"))
        _ = try Tool(store: directory("store"))("import", directory("model"), "--name", "base")
    }

    private func tool(driver: String) -> Tool {
        var tool = Tool(store: directory("store"))
        tool.environment["WEIGHTSTORE_CUDA_LIBRARY"] = driver
        return tool
    }

    @Test("a missing driver is a clear error, and never another tier")
    func noDriver() throws {
        let result = try tool(driver: "/nowhere/libcuda.so.1")("load", "base", "--to", "gpu")
        #expect(result.status == 1)
        #expect(result.errors.contains("/nowhere/libcuda.so.1") && result.errors.contains("host"))
        #expect(result.output.isEmpty)
    }

    @Test("of the experts, only those that --experts names are loaded, with the tensors outside of the experts")
    func experts() throws {
        var model = base
        for expert in 0..<4 {
            model.tensors.append(
                .init(name: "model.layers.1.mlp.experts.\(expert).w.weight", dtype: "U8", shape: [1 << 20]))
        }
        try model.write(to: directory("mixture"))
        let tool = Tool(store: directory("store"))
        #expect(try tool("import", directory("mixture"), "--name", "mixture").status == 0)
        func tensors(_ options: String...) throws -> Int? {
            try tool.run(["load", "mixture", "--to", "host", "--json"] + options).object()["tensors"] as? Int
        }
        #expect(try tensors("--experts", "1-2") == base.tensors.count + 2)
        #expect(try tensors("--experts", "3", "--layers", "1") == 4 + 1)
        #expect(try tensors("--experts", "0-3") == model.tensors.count)
        let absent = try tool("load", "mixture", "--experts", "4-9")
        #expect(absent.status == 2 && absent.errors.contains("experts 4-9: no such expert"), "\(absent.errors)")
        #expect(try tool("load", "mixture", "--experts", "4-9", "--layers", "0").status == 2)
        let layers = try tool("load", "mixture", "--layers", "2-5")
        #expect(layers.status == 2 && layers.errors.contains("layers 2-5: no such layer"), "\(layers.errors)")
        let result = try tool("load", "mixture", "--experts", "2-1")
        #expect(result.status == 64)
    }

    @Test("--verify finds a changed bit, and the status is 3")
    func verify() throws {
        let tool = Tool(store: directory("store"))
        #expect(try tool("load", "base", "--to", "host", "--verify").status == 0)
        let blobs = try TemporaryDirectory.files(below: directory("store/blobs")).map { name in
            (path: directory("store/blobs/\(name)"), bytes: try contents(directory("store/blobs/\(name)")))
        }
        var blob = try #require(blobs.max { $0.bytes.count < $1.bytes.count })
        blob.bytes[blob.bytes.count / 2] ^= 1
        try FileManager.default.removeItem(atPath: blob.path)
        try Data(blob.bytes).write(to: URL(fileURLWithPath: blob.path))
        #expect(try tool("load", "base", "--to", "host").status == 0)
        let result = try tool("load", "base", "--to", "host", "--verify")
        #expect(result.status == 3 && result.errors.contains("SHA-256"), "\(result.errors)")
    }

    @Test("with the driver installed, the command loads onto the GPU")
    func driver() throws {
        let double = try CUDADouble()
        defer { withExtendedLifetime(double) {} }
        let tool = tool(driver: double.path)
        let answer = try tool("load", "base", "--to", "gpu", "--json").object()
        #expect((answer["tier"] as? [String: Any])?["tier"] as? String == "cuda:0")
        #expect(answer["tensors"] as? Int == base.tensors.count)
        #expect(try tool("load", "base", "--to", "cuda:7").status == 1)
    }
}
