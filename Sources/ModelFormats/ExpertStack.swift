/// A tensor that holds the matrices of all experts of a layer, one after the other: the bytes of each expert are a
/// range of the tensor's.
///
///     let stack = ExpertStack(tensor, format: .gguf)    // blk.3.ffn_up_exps.weight, [2048, 1024, 64]
///     stack?.range(of: 5)                               // the bytes of the sixth expert
///
/// Such tensors are in GGUF files since April 2024, and in checkpoints of models whose experts are fused. They are
/// recognised by their names, those of `families`.
public struct ExpertStack: Sendable, Hashable {
    /// A naming scheme of such tensors.
    public struct Family: Sendable, Hashable {
        /// The end of the names, with `N` for the layer. A name may have further parts before the pattern. A pattern
        /// that ends with a dot is followed by another part, such as `weight`.
        public let pattern: String
        /// A tensor name of a published model.
        public let example: String
        /// The models and libraries that use the scheme.
        public let models: String

        init(_ pattern: String, _ example: String, _ models: String) {
            self.pattern = pattern
            self.example = example
            self.models = models
        }
    }

    /// The known naming schemes. A new row takes effect without further code.
    public static let families: [Family] = [
        Family("blk.N.ffn_gate_exps.", "blk.6.ffn_gate_exps.weight", "mixtures of experts in GGUF"),
        Family("blk.N.ffn_up_exps.", "blk.6.ffn_up_exps.weight", "mixtures of experts in GGUF"),
        Family("blk.N.ffn_down_exps.", "blk.6.ffn_down_exps.weight", "mixtures of experts in GGUF"),
        Family("blk.N.ffn_gate_up_exps.", "blk.6.ffn_gate_up_exps.weight", "mixtures of experts in GGUF"),
        Family("layers.N.mlp.experts.gate_up_proj", "model.layers.3.mlp.experts.gate_up_proj", "GPT-OSS, Qwen3.5"),
        Family("layers.N.mlp.experts.gate_up_proj_bias", "model.layers.3.mlp.experts.gate_up_proj_bias", "GPT-OSS"),
        Family("layers.N.mlp.experts.gate_up_proj_blocks", "model.layers.3.mlp.experts.gate_up_proj_blocks", "GPT-OSS"),
        Family("layers.N.mlp.experts.gate_up_proj_scales", "model.layers.3.mlp.experts.gate_up_proj_scales", "GPT-OSS"),
        Family("layers.N.mlp.experts.down_proj", "model.layers.3.mlp.experts.down_proj", "GPT-OSS, Qwen3.5"),
        Family("layers.N.mlp.experts.down_proj_bias", "model.layers.3.mlp.experts.down_proj_bias", "GPT-OSS"),
        Family("layers.N.mlp.experts.down_proj_blocks", "model.layers.3.mlp.experts.down_proj_blocks", "GPT-OSS"),
        Family("layers.N.mlp.experts.down_proj_scales", "model.layers.3.mlp.experts.down_proj_scales", "GPT-OSS"),
        Family(
            "layers.N.feed_forward.experts.gate_up_proj",
            "language_model.model.layers.5.feed_forward.experts.gate_up_proj", "Llama 4"),
        Family(
            "layers.N.feed_forward.experts.down_proj", "language_model.model.layers.5.feed_forward.experts.down_proj",
            "Llama 4"),
        Family(
            "layers.N.block_sparse_moe.input_linear.", "model.layers.0.block_sparse_moe.input_linear.weight",
            "Granite MoE"),
        Family(
            "layers.N.block_sparse_moe.output_linear.", "model.layers.0.block_sparse_moe.output_linear.weight",
            "Granite MoE"),
    ]

    /// The number of experts.
    public let experts: Int
    /// The number of elements of an expert along each dimension, in the file's order.
    public let shape: [Int]
    /// The size of each expert in the tensor, in bytes.
    public let bytesPerExpert: Int

    /// Recognises a tensor.
    ///
    /// - Parameters:
    ///   - tensor: its name, shape and size.
    ///   - format: the format of its file: the experts are the first dimension, which GGUF names last.
    /// - Returns: nil if the name is not one of `families`, or the tensor has no dimension of experts, no bytes, or no
    ///   whole number of bytes for each.
    public init?(_ tensor: TensorInfo, format: FileFormat) {
        self.init(name: tensor.name, shape: tensor.shape, bytes: tensor.bytes, format: format)
    }

    /// Recognises a tensor by its parts; see ``init(_:format:)``.
    ///
    /// - Parameters:
    ///   - name: its name.
    ///   - shape: the number of elements along each dimension, in the file's order.
    ///   - bytes: its size, in bytes.
    ///   - format: the format of its file.
    public init?(name: String, shape: [Int], bytes: Int, format: FileFormat) {
        guard shape.count >= 2, Self.isStack(name) else { return nil }
        let isLast = format.isInnermostFirst
        guard let experts = isLast ? shape.last : shape.first, experts > 0, bytes > 0, bytes.isMultiple(of: experts)
        else { return nil }
        self.experts = experts
        self.shape = Array(isLast ? shape.dropLast() : shape.dropFirst())
        bytesPerExpert = bytes / experts
    }

    /// The bytes of an expert, from the beginning of the tensor; nil if there is no such expert.
    public func range(of expert: Int) -> Range<Int>? {
        guard 0..<experts ~= expert else { return nil }
        return expert * bytesPerExpert..<(expert + 1) * bytesPerExpert
    }

    /// The parts of the patterns, the last one first, without the last empty one.
    private static let patterns: [(parts: [Substring], hasSuffix: Bool)] = families.map { family in
        (family.pattern.split(separator: ".").reversed(), family.pattern.hasSuffix("."))
    }

    private static func isStack(_ name: String) -> Bool {
        guard TensorPlace(tensorName: name).layer != nil else { return false }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return patterns.contains { pattern in
            let end = parts.dropLast(pattern.hasSuffix ? 1 : 0).reversed()
            return end.count >= pattern.parts.count
                && zip(end, pattern.parts).allSatisfy { $1 == "N" ? Int($0) != nil : $0 == $1 }
        }
    }
}
