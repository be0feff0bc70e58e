import WeightStore

/// A LoRA of rank 1 over all experts of Qwen3-30B-A3B, as PEFT writes it: two small tensors for each matrix of each
/// expert.
struct ExpertAdapter: CheckpointShape {
    let name: String
    let layers: Int
    let experts: Int

    private static let hidden = 2048
    private static let intermediate = 768
    private static let rank = 1

    var tunedParts: [String] { [] }
    var fileName: String { "adapter_model" }
    var configName: String { "adapter_config.json" }

    var tensors: [SafetensorsWriter.Tensor] {
        (0..<layers).flatMap { layer in
            (0..<experts).flatMap { expert in
                ["gate_proj", "up_proj", "down_proj"].flatMap { part -> [SafetensorsWriter.Tensor] in
                    let (rows, columns) =
                        part == "down_proj" ? (Self.hidden, Self.intermediate) : (Self.intermediate, Self.hidden)
                    let prefix = "base_model.model.model.layers.\(layer).mlp.experts.\(expert).\(part)"
                    return [
                        .init(name: "\(prefix).lora_A.weight", dtype: "BF16", shape: [Self.rank, columns]),
                        .init(name: "\(prefix).lora_B.weight", dtype: "BF16", shape: [rows, Self.rank]),
                    ]
                }
            }
        }
    }

    var config: [String: Int] { ["r": Self.rank, "lora_alpha": 2 * Self.rank] }
}
