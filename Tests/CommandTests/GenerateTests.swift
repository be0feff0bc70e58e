import Foundation
import TestSupport
import Testing
import WeightStore

/// The shapes of mixtures of experts and of many tensors.
@Suite(.blocking) struct GenerateTests {
    let directory = try! TemporaryDirectory()

    private var tool: Tool { Tool(store: directory("store")) }

    private func generate(_ shape: String, _ options: String...) throws -> FileLayout {
        let result = try tool.run(["generate", directory(shape), "--shape", shape] + options)
        try #require(result.status == 0, "\(result.errors)")
        let name = shape == "lora-experts" ? "adapter_model" : "model"
        let bytes = try contents(directory("\(shape)/\(name).safetensors"))
        return try FileLayout.read(MemorySource(name: shape, bytes: bytes), format: .safetensors)
    }

    /// Imports the checkpoint, checks it, and exports it byte for byte.
    private func check(_ shape: String) throws {
        #expect(try tool("import", directory(shape), "--name", "org/\(shape)").status == 0)
        #expect(try tool("verify").status == 0)
        #expect(try tool("export", "org/\(shape)", directory("out")).status == 0)
        let files = TemporaryDirectory.files(below: directory(shape))
        #expect(files == TemporaryDirectory.files(below: directory("out")))
        for file in files {
            #expect(try contents(directory("out/\(file)")) == contents(directory("\(shape)/\(file)")), "\(file)")
        }
    }

    @Test(
        "a mixture has FP8 matrices, each with its scales, in dense layers and in layers of experts",
        arguments: ["deepseek-v3", "kimi-k2"])
    func mixtures(shape: String) throws {
        let layout = try generate(shape, "--layers", "3", "--experts", "5", "--width", "512")
        let names = Set(layout.tensors.map(\.name))
        let matrices = layout.tensors.filter { $0.dtype == "F8_E4M3" }
        #expect(matrices.count == 3 * 5 + 3 + 2 * (3 + 5 * 3))
        for matrix in matrices { #expect(names.contains(matrix.name + "_scale_inv"), "\(matrix.name)") }
        let expert = try #require(layout.tensors.first { $0.name == "model.layers.2.mlp.experts.4.down_proj.weight" })
        #expect(expert.shape == [512, 144])
        let scale = try #require(layout.tensors.first { $0.name == expert.name + "_scale_inv" })
        #expect(scale.dtype == "F32" && scale.shape == [4, 2])
        #expect(!names.contains("model.layers.0.mlp.experts.0.up_proj.weight"))
        // The scales are far in front of the matrices.
        #expect(scale.offset + (1 << 20) < expert.offset)
        try check(shape)
        // A fine-tune differs in two matrices of each layer.
        let tuned = try tool.run([
            "generate", directory("tuned"), "--shape", shape, "--layers", "3", "--experts", "5", "--width", "512",
            "--tune", "3",
        ])
        #expect(tuned.status == 0)
        let (base, fine) = try (
            contents(directory("\(shape)/model.safetensors")), contents(directory("tuned/model.safetensors"))
        )
        for tensor in layout.tensors {
            let range = tensor.offset..<tensor.offset + tensor.bytes
            let isTuned = tensor.name.contains("q_b_proj") || tensor.name.contains("kv_b_proj")
            #expect((base[range] == fine[range]) != isTuned, "\(tensor.name)")
        }
    }

    @Test("a LoRA over all experts has 36,864 tensors of a few kB")
    func adapter() throws {
        let layout = try generate("lora-experts")
        #expect(layout.tensors.count == 36_864)
        #expect(layout.tensors.allSatisfy { 1000...5000 ~= $0.bytes })
        let places = Set(layout.tensors.map { TensorPlace(tensorName: $0.name) })
        #expect(places.count == 48 * 128)
    }

    @Test("a small LoRA over experts is imported, and exported byte for byte")
    func smallAdapter() throws {
        #expect(try generate("lora-experts", "--layers", "2", "--experts", "9").tensors.count == 2 * 9 * 6)
        try check("lora-experts")
    }

    @Test("many tensors have names that are short enough for a million of them")
    func manyTensors() throws {
        let layout = try generate("many-tensors", "--tensors", "20000")
        #expect(layout.tensors.count == 20_000)
        #expect(Set(layout.tensors.compactMap { TensorPlace(tensorName: $0.name).layer }).count == 100)
        // An entry of a million has two digits more in its name and two in each of its two offsets.
        let header = layout.tensors[0].offset
        #expect((header / 20_000 + 1 + 6) * 1_000_000 < Safetensors.referenceHeaderBytes)
        try check("many-tensors")
    }

    @Test(
        "options that a shape does not have are refused",
        arguments: [
            (["--shape", "other"], "deepseek-v3, kimi-k2"), (["--width", "64"], "--shape"),
            (["--shape", "many-tensors", "--width", "64"], "which has --tensors"),
            (["--shape", "many-tensors", "--tensors", "1000001"], "between 1 and 1000000"),
            (["--shape", "many-tensors", "--tune", "2"], "no fine-tune"),
            (["--shape", "kimi-k2", "--width", "63"], "between 64 and 7168"),
            (["--shape", "kimi-k2", "--like", "olmoe-1b-7b"], "exclude each other"),
        ])
    func refused(options: [String], reason: String) throws {
        let result = try tool.run(["generate", directory("refused")] + options)
        #expect(result.status == 64 || result.status == 2, "\(result.status)")
        #expect(result.errors.contains(reason), "\(result.errors)")
        #expect(!FileManager.default.fileExists(atPath: directory("refused")))
    }
}
