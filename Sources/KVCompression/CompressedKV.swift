/// The keys and values of a layer after compression.
public struct CompressedKV: Sendable {
    /// The kept positions.
    public let positions: KVPositions
    /// `[batch, heads, positions.count, head_dim]`.
    public let keys: KVPart
    /// `[batch, heads, positions.count, head_dim]`.
    public let values: KVPart

    /// Creates the result of a method.
    public init(positions: KVPositions, keys: KVPart, values: KVPart) {
        self.positions = positions
        self.keys = keys
        self.values = values
    }

    /// Bytes of keys and values, with scales and zero points.
    public var byteCount: Int { keys.byteCount + values.byteCount }
}

/// Keys or values of a layer: unchanged, quantised, or in a form that only their method can decode.
public enum KVPart: Sendable {
    /// Unchanged elements.
    case plain(KVTensor)
    /// Codes, scales and zero points.
    case quantized(QuantizedTensor)
    /// A method's own form.
    case encoded(any KVEncoding)

    /// Size in bytes.
    public var byteCount: Int {
        switch self {
        case .plain(let tensor): tensor.byteCount
        case .quantized(let tensor): tensor.byteCount
        case .encoded(let part): part.byteCount
        }
    }

    /// The tensor in its original element type. A plain tensor is returned without a copy.
    public func tensor() -> KVTensor {
        switch self {
        case .plain(let tensor): tensor
        case .quantized(let tensor): tensor.view.dequantized()
        case .encoded(let part): part.tensor()
        }
    }
}

/// A method's own form of keys or values.
public protocol KVEncoding: Sendable {
    /// Size in bytes, with everything that decoding needs.
    var byteCount: Int { get }

    /// Decodes to `[batch, heads, positions kept, head_dim]`, in the original element type.
    func tensor() -> KVTensor
}
