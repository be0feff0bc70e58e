import WeightStore

/// One file with `count` tensors. The names are short: with a million of them, the header has 77 MB, and readers accept
/// 100 MB.
struct ManyTensors: CheckpointShape {
    let name: String
    let count: Int

    private static let layers = 100
    private static let bytes = 16

    var tunedParts: [String] { [] }

    var tensors: [SafetensorsWriter.Tensor] {
        (0..<count).map { number in
            .init(name: "h.\(number % Self.layers).\(number / Self.layers)", dtype: "U8", shape: [Self.bytes])
        }
    }

    var config: [String: Int] { ["num_hidden_layers": min(count, Self.layers)] }
}
