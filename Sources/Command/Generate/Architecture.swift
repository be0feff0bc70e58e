import WeightStore

/// The shapes of a published language model, from its `config.json`.
struct Architecture: CheckpointShape {
    let name: String
    let hidden: Int
    let layers: Int
    let heads: Int
    let keyValueHeads: Int
    let headDimension: Int
    /// Rows of the feed-forward matrices; in a mixture of experts, of one expert's.
    let intermediate: Int
    let vocabulary: Int
    /// Whether the output head is the embedding.
    var isTied = true
    /// Whether queries, keys and values have a bias.
    var hasBias = false
    var experts: Int?

    static let all = [
        Architecture(
            name: "smollm2-135m", hidden: 576, layers: 30, heads: 9, keyValueHeads: 3, headDimension: 64,
            intermediate: 1536, vocabulary: 49_152),
        Architecture(
            name: "qwen2.5-0.5b", hidden: 896, layers: 24, heads: 14, keyValueHeads: 2, headDimension: 64,
            intermediate: 4864, vocabulary: 151_936, hasBias: true),
        Architecture(
            name: "llama-3.2-1b", hidden: 2048, layers: 16, heads: 32, keyValueHeads: 8, headDimension: 64,
            intermediate: 8192, vocabulary: 128_256),
        Architecture(
            name: "olmoe-1b-7b", hidden: 2048, layers: 16, heads: 16, keyValueHeads: 16, headDimension: 128,
            intermediate: 1024, vocabulary: 50_304, isTied: false, experts: 64),
        Architecture(
            name: "llama-3.1-8b", hidden: 4096, layers: 32, heads: 32, keyValueHeads: 8, headDimension: 128,
            intermediate: 14_336, vocabulary: 128_256, isTied: false),
    ]

    /// The tensors under their Transformers names, all BF16, in the order of the model.
    var tensors: [SafetensorsWriter.Tensor] {
        var tensors: [SafetensorsWriter.Tensor] = []
        func add(_ name: String, _ shape: Int...) {
            tensors.append(.init(name: name, dtype: "BF16", shape: shape))
        }
        func addFeedForward(_ prefix: String) {
            add("\(prefix).gate_proj.weight", intermediate, hidden)
            add("\(prefix).up_proj.weight", intermediate, hidden)
            add("\(prefix).down_proj.weight", hidden, intermediate)
        }
        add("model.embed_tokens.weight", vocabulary, hidden)
        for layer in 0..<layers {
            let prefix = "model.layers.\(layer)"
            add("\(prefix).input_layernorm.weight", hidden)
            for (projection, rows) in [
                ("q", heads * headDimension), ("k", keyValueHeads * headDimension),
                ("v", keyValueHeads * headDimension),
            ] {
                add("\(prefix).self_attn.\(projection)_proj.weight", rows, hidden)
                if hasBias { add("\(prefix).self_attn.\(projection)_proj.bias", rows) }
            }
            add("\(prefix).self_attn.o_proj.weight", hidden, heads * headDimension)
            add("\(prefix).post_attention_layernorm.weight", hidden)
            if let experts {
                add("\(prefix).mlp.gate.weight", experts, hidden)
                for expert in 0..<experts { addFeedForward("\(prefix).mlp.experts.\(expert)") }
            } else {
                addFeedForward("\(prefix).mlp")
            }
        }
        add("model.norm.weight", hidden)
        if !isTied { add("lm_head.weight", vocabulary, hidden) }
        return tensors
    }

    var config: [String: Int] {
        var config = [
            "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads,
            "num_key_value_heads": keyValueHeads, "head_dim": headDimension, "intermediate_size": intermediate,
            "vocab_size": vocabulary,
        ]
        config["num_experts"] = experts
        return config
    }
}
