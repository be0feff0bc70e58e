import Foundation
import KVCompression

/// The files that Tests/kv-reference.py wrote.
struct KVReference {
    static let directory = ProcessInfo.processInfo.environment["WEIGHTSTORE_KV_REFERENCE"]

    let cases: [Case]
    private let data: Data

    init() throws {
        let directory = URL(fileURLWithPath: Self.directory ?? "")
        cases = try JSONDecoder().decode([Case].self, from: Data(contentsOf: directory.appending(path: "cases.json")))
        data = try Data(contentsOf: directory.appending(path: "data"))
    }

    struct Place: Decodable {
        let offset: Int
        let bytes: Int
    }

    struct Tensor: Decodable {
        let element: String
        let shape: [Int]
        let strides: [Int]
        let first: Int
        let offset: Int
        let bytes: Int
    }

    struct Quantization: Decodable {
        let scales: Place
        let zeros: Place
        let steps: Place
        let dequantized: Place
    }

    enum Parameter: Decodable {
        case integer(Int)
        case text(String)

        var number: Int { if case .integer(let value) = self { value } else { -1 } }

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let value = try? container.decode(Int.self) {  // Not a number: then it is a text.
                self = .integer(value)
            } else {
                self = .text(try container.decode(String.self))
            }
        }
    }

    struct Case: Decodable {
        let name: String
        let method: String
        let parameters: [String: Parameter]
        let keys: Tensor
        let values: Tensor
        let attention: Tensor?
        let layer: Int
        let positions: Place?
        let count: Int?
        let keptKeys: Place?
        let keptValues: Place?
        let quantizedKeys: Quantization?
        let quantizedValues: Quantization?

        var selector: (any KVSelector)? {
            func number(_ name: String) -> Int { parameters[name]?.number ?? -1 }
            let pooling: Snap.Pooling = if case .text("mean") = parameters["pooling"] { .mean } else { .max }
            return switch method {
            case "window": Window(last: number("last"))
            case "sinks": Sinks(first: number("first"), last: number("last"))
            case "heavyHitters": HeavyHitters(heavy: number("heavy"), recent: number("recent"))
            case "snap":
                Snap(budget: number("budget"), window: number("window"), kernel: number("kernel"), pooling: pooling)
            case "pyramid":
                Pyramid(
                    layers: number("layers"), budget: number("budget"), window: number("window"),
                    kernel: number("kernel"), pooling: pooling, steepness: number("steepness"))
            default: nil
            }
        }
    }

    func array<Element: BitwiseCopyable>(_ place: Place) -> [Element] {
        data[place.offset..<place.offset + place.bytes].withUnsafeBytes { bytes in
            (0..<place.bytes / MemoryLayout<Element>.size).map {
                bytes.loadUnaligned(fromByteOffset: $0 * MemoryLayout<Element>.size, as: Element.self)
            }
        }
    }

    /// Calls `body` with the layer of a case, whose memory is valid during the call.
    func layer<Result>(_ one: Case, _ body: (KVLayer) throws -> Result) throws -> Result {
        try data.withUnsafeBytes { bytes in
            func view(_ tensor: Tensor) throws -> KVView {
                let own = UnsafeRawBufferPointer(rebasing: bytes[tensor.offset..<tensor.offset + tensor.bytes])
                let element = KVElement.allCases.first { "\($0)" == tensor.element }!
                let (shape, strides) = (tensor.shape, tensor.strides)
                return try KVView(
                    own, element: element, shape: KVShape(shape[0], shape[1], shape[2], shape[3]),
                    strides: KVStrides(strides[0], strides[1], strides[2], strides[3]), offset: tensor.first)
            }
            return try body(
                KVLayer(
                    keys: view(one.keys), values: view(one.values), attention: one.attention.map(view), index: one.layer
                ))
        }
    }
}
