/// What a method left of the keys and values of a layer.
public struct CompressedKV: Sendable {
    /// The positions that are still there.
    public let positions: KVPositions
    /// `[batch, heads, positions.count, head_dim]`.
    public let keys: KVPart
    /// `[batch, heads, positions.count, head_dim]`.
    public let values: KVPart

    public init(positions: KVPositions, keys: KVPart, values: KVPart) {
        self.positions = positions
        self.keys = keys
        self.values = values
    }

    /// Bytes of keys and values, with scales and zero points.
    public var byteCount: Int { keys.byteCount + values.byteCount }
}

/// Keys or values of a layer, as they were, quantised, or in a form that only its method knows.
public enum KVPart: Sendable {
    case plain(KVTensor)
    case quantized(QuantizedTensor)
    case encoded(any KVEncoding)

    public var byteCount: Int {
        switch self {
        case .plain(let tensor): tensor.byteCount
        case .quantized(let tensor): tensor.byteCount
        case .encoded(let part): part.byteCount
        }
    }

    /// In the element they had before. A plain tensor is handed on, not copied.
    public func tensor() -> KVTensor {
        switch self {
        case .plain(let tensor): tensor
        case .quantized(let tensor): tensor.view.dequantized()
        case .encoded(let part): part.tensor()
        }
    }
}

/// A form of keys or values that a method has for itself.
public protocol KVEncoding: Sendable {
    /// Bytes that it takes, with all that decoding needs.
    var byteCount: Int { get }

    /// `[batch, heads, positions kept, head_dim]`, in the element they had before.
    func tensor() -> KVTensor
}
