import WeightStore

/// DeepSeek-V3, or a model of its architecture, with all widths reduced in the same ratio, and all tensors: multi-head
/// latent attention, dense layers, then layers of experts, in FP8 with a scale for each block of 128 × 128.
struct ExpertMixture: CheckpointShape {
    let name: String
    /// The hidden size, 7168 in the published models.
    let width: Int
    let layers: Int
    /// The first layers of the published model, which have no experts. With few layers, at most half of them.
    let denseLayers: Int
    let experts: Int
    /// Of the published model.
    let heads: Int
    let vocabulary: Int

    private static let publishedWidth = 7168
    private static let scaleBlock = 128

    var tunedParts: [String] { [".q_b_proj.", ".kv_b_proj."] }

    /// A width of the published model, in the ratio of this one: a multiple of 16.
    private func reduced(_ width: Int) -> Int { max(width * self.width / Self.publishedWidth / 16 * 16, 16) }

    private var reducedHeads: Int { max(heads * width / Self.publishedWidth, 1) }
    private var dense: Int { min(denseLayers, layers / 2) }
    private var hidden: Int { reduced(Self.publishedWidth) }

    var tensors: [SafetensorsWriter.Tensor] {
        var tensors: [SafetensorsWriter.Tensor] = []
        func add(_ name: String, _ dtype: String = "BF16", _ shape: Int...) {
            tensors.append(.init(name: name, dtype: dtype, shape: shape))
        }
        func addMatrix(_ name: String, _ rows: Int, _ columns: Int) {
            func blocks(_ size: Int) -> Int { (size + Self.scaleBlock - 1) / Self.scaleBlock }
            add("\(name).weight", "F8_E4M3", rows, columns)
            add("\(name).weight_scale_inv", "F32", blocks(rows), blocks(columns))
        }
        func addFeedForward(_ prefix: String, _ width: Int) {
            addMatrix("\(prefix).gate_proj", width, hidden)
            addMatrix("\(prefix).up_proj", width, hidden)
            addMatrix("\(prefix).down_proj", hidden, width)
        }
        let (queryRank, keyValueRank, rotary, head) = (reduced(1536), reduced(512), reduced(64), reduced(128))
        add("model.embed_tokens.weight", "BF16", reduced(vocabulary), hidden)
        for layer in 0..<layers {
            let prefix = "model.layers.\(layer)"
            add("\(prefix).input_layernorm.weight", "BF16", hidden)
            addMatrix("\(prefix).self_attn.q_a_proj", queryRank, hidden)
            add("\(prefix).self_attn.q_a_layernorm.weight", "BF16", queryRank)
            addMatrix("\(prefix).self_attn.q_b_proj", reducedHeads * (head + rotary), queryRank)
            addMatrix("\(prefix).self_attn.kv_a_proj_with_mqa", keyValueRank + rotary, hidden)
            add("\(prefix).self_attn.kv_a_layernorm.weight", "BF16", keyValueRank)
            addMatrix("\(prefix).self_attn.kv_b_proj", reducedHeads * 2 * head, keyValueRank)
            addMatrix("\(prefix).self_attn.o_proj", hidden, reducedHeads * head)
            add("\(prefix).post_attention_layernorm.weight", "BF16", hidden)
            if layer < dense {
                addFeedForward("\(prefix).mlp", reduced(18_432))
                continue
            }
            add("\(prefix).mlp.gate.weight", "BF16", experts, hidden)
            add("\(prefix).mlp.gate.e_score_correction_bias", "F32", experts)
            addFeedForward("\(prefix).mlp.shared_experts", reduced(2048))
            for expert in 0..<experts { addFeedForward("\(prefix).mlp.experts.\(expert)", reduced(2048)) }
        }
        add("model.norm.weight", "BF16", hidden)
        add("lm_head.weight", "BF16", reduced(vocabulary), hidden)
        return tensors
    }

    var config: [String: Int] {
        [
            "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": reducedHeads,
            "q_lora_rank": reduced(1536), "kv_lora_rank": reduced(512), "qk_rope_head_dim": reduced(64),
            "qk_nope_head_dim": reduced(128), "v_head_dim": reduced(128), "intermediate_size": reduced(18_432),
            "moe_intermediate_size": reduced(2048), "n_routed_experts": experts, "n_shared_experts": 1,
            "first_k_dense_replace": dense, "vocab_size": reduced(vocabulary),
        ]
    }
}
