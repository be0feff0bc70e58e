import ModelFormats
import Testing

@Suite("Tensors that stack experts")
struct ExpertStackTests {
    private func tensor(_ name: String, _ shape: [Int], bytes: Int? = nil) -> TensorInfo {
        TensorInfo(name: name, dtype: "BF16", shape: shape, offset: 7, bytes: bytes ?? 2 * shape.reduce(1, *))
    }

    @Test("the example of every family is a stack, in both orders of dimensions", arguments: ExpertStack.families)
    func families(family: ExpertStack.Family) throws {
        let first = try #require(ExpertStack(tensor(family.example, [32, 64, 16]), format: .safetensors))
        #expect(first.experts == 32 && first.bytesPerExpert == 2048 && first.shape == [64, 16])
        let last = try #require(ExpertStack(tensor(family.example, [64, 16, 32]), format: .gguf))
        #expect(last == first)
        #expect(first.range(of: 0) == 0..<2048)
        #expect(first.range(of: 31) == 63_488..<65_536)
        #expect(first.range(of: 32) == nil && first.range(of: -1) == nil)
        // The example follows its pattern.
        let parts = family.pattern.split(separator: ".").filter { $0 != "N" }
        #expect(parts.allSatisfy { family.example.split(separator: ".").contains($0) })
        #expect(TensorPlace(tensorName: family.example).expert == nil)
    }

    @Test("no pattern appears twice")
    func patterns() {
        #expect(Set(ExpertStack.families.map(\.pattern)).count == ExpertStack.families.count)
    }

    @Test(
        "other tensors are not stacks",
        arguments: [
            "model.layers.0.mlp.experts.3.down_proj.weight", "blk.0.ffn_up.weight", "blk.0.ffn_up_shexp.weight",
            "ffn_up_exps.weight", "blk.0.ffn_up_exps", "model.layers.0.mlp.experts.gate_up_proj.weight", "",
            "blk.x.ffn_up_exps.weight", "model.layers.0.mlp.shared_experts.down_proj",
        ])
    func others(name: String) {
        #expect(ExpertStack(tensor(name, [32, 64, 16]), format: .safetensors) == nil)
    }

    @Test("a stack has a dimension of experts, and whole bytes for each")
    func shapes() {
        let name = "model.layers.0.mlp.experts.down_proj"
        #expect(ExpertStack(tensor(name, []), format: .safetensors) == nil)
        #expect(ExpertStack(tensor(name, [32]), format: .safetensors) == nil)
        #expect(ExpertStack(tensor(name, [0, 4]), format: .safetensors) == nil)
        #expect(ExpertStack(tensor(name, [3, 4], bytes: 16), format: .safetensors) == nil)
        #expect(ExpertStack(tensor(name, [32, 0], bytes: 0), format: .safetensors) == nil)
    }
}
