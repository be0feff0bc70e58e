import KVCompression

/// The list of methods for the tests of common properties.
enum Methods {
    static let selectors: [any KVSelector] = [
        .window(last: 0), .window(last: 7), .sinks(first: 4, last: 9), .sinks(first: 30, last: 30),
        .sinks(first: 3, last: 0),
        .heavyHitters(heavy: 6, recent: 5), .heavyHitters(heavy: 0, recent: 4), .heavyHitters(heavy: 5, recent: 0),
        .snap(budget: 12, window: 4), .snap(budget: 12, window: 4, kernel: 1),
        .snap(budget: 12, window: 0, pooling: .mean),
        .snap(budget: 4, window: 4), .pyramid(layers: 3, budget: 14, window: 4),
    ]

    static let others: [any KVMethod] = [
        .quantized(bits: 8), .quantized(bits: 4), .quantized(bits: 2),
        Sinks(first: 1, last: 1).then(.quantized(bits: 2)),
        Folded(),
    ]

    static let all: [any KVMethod] = selectors + others
}

/// A method for tests, with its own form: it keeps the elements as they are.
struct Folded: KVMethod {
    struct Part: KVEncoding {
        let kept: KVTensor
        var byteCount: Int { kept.byteCount }
        func tensor() -> KVTensor { kept }
    }

    func compress(_ layer: KVLayer) throws(KVError) -> CompressedKV {
        let plain = try Window(last: .max).compress(layer)
        return CompressedKV(
            positions: KVPositions(all: layer), keys: .encoded(Part(kept: plain.keys.tensor())),
            values: .encoded(Part(kept: plain.values.tensor())))
    }
}
