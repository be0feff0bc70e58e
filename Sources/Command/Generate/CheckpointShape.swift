import WeightStore

/// The contents of a generated checkpoint: its tensors, and the files around them.
protocol CheckpointShape: Sendable {
    var name: String { get }
    /// The tensors, in the order of the model.
    var tensors: [SafetensorsWriter.Tensor] { get }
    /// The values of the configuration.
    var config: [String: Int] { get }
    /// Parts of the names of tensors that a fine-tune changes: those that a merged LoRA changes. Empty if there is no
    /// fine-tune of the shape.
    var tunedParts: [String] { get }
    /// The name of the file with the tensors, without its extension. A checkpoint of several files has numbers behind
    /// it.
    var fileName: String { get }
    var configName: String { get }
}

extension CheckpointShape {
    var tunedParts: [String] { [".q_proj.", ".v_proj."] }
    var fileName: String { "model" }
    var configName: String { "config.json" }
}

/// A shape for trials and benchmarks, at a reduced size: `generate --shape`.
enum ReducedShape: String, CaseIterable {
    case deepSeekV3 = "deepseek-v3"
    case kimiK2 = "kimi-k2"
    case expertAdapter = "lora-experts"
    case manyTensors = "many-tensors"

    /// The numbers of a shape; nil for the default.
    struct Options {
        var width: Int?
        var layers: Int?
        var experts: Int?
        var tensors: Int?
    }

    /// Its description in `--help`.
    var summary: String {
        switch self {
        case .deepSeekV3: "DeepSeek-V3 at a width of 256: FP8 with scales, 58 layers of 256 experts (0.9 GB)"
        case .kimiK2: "Kimi K2 at a width of 256: FP8 with scales, 60 layers of 384 experts (1.3 GB)"
        case .expertAdapter: "a LoRA over all experts of Qwen3-30B-A3B: 36,864 tensors of 1.5 or 4 kB"
        case .manyTensors: "one file with 1,000,000 tensors of 16 bytes in 100 layers"
        }
    }

    /// The options of the shape, with their allowed values.
    var ranges: [(option: String, value: KeyPath<Options, Int?>, range: ClosedRange<Int>)] {
        switch self {
        case .deepSeekV3, .kimiK2:
            [
                ("--width", \.width, 64...7168), ("--layers", \.layers, 2...61),
                ("--experts", \.experts, 1...mostExperts),
            ]
        case .expertAdapter: [("--layers", \.layers, 1...48), ("--experts", \.experts, 1...mostExperts)]
        case .manyTensors: [("--tensors", \.tensors, 1...1_000_000)]
        }
    }

    private var mostExperts: Int {
        switch self {
        case .deepSeekV3: 256
        case .kimiK2: 384
        case .expertAdapter, .manyTensors: 128
        }
    }

    /// The shape with these numbers, which are in `ranges`.
    func shape(_ options: Options) -> any CheckpointShape {
        let experts = options.experts ?? mostExperts
        switch self {
        case .deepSeekV3:
            return ExpertMixture(
                name: rawValue, width: options.width ?? 256, layers: options.layers ?? 61, denseLayers: 3,
                experts: experts, heads: 128, vocabulary: 129_280)
        case .kimiK2:
            return ExpertMixture(
                name: rawValue, width: options.width ?? 256, layers: options.layers ?? 61, denseLayers: 1,
                experts: experts, heads: 64, vocabulary: 163_840)
        case .expertAdapter: return ExpertAdapter(name: rawValue, layers: options.layers ?? 48, experts: experts)
        case .manyTensors: return ManyTensors(name: rawValue, count: options.tensors ?? 1_000_000)
        }
    }
}
