/// What a method left of the keys and values of a layer.
public struct CompressedKV: Sendable {
    /// The positions that are still there.
    public let positions: KVPositions
    /// `[batch, heads, positions.count, head_dim]`.
    public let keys: KVPart
    /// `[batch, heads, positions.count, head_dim]`.
    public let values: KVPart

    /// Bytes of keys and values, with scales and zero points.
    public var byteCount: Int { keys.byteCount + values.byteCount }
}

/// Keys or values of a layer, as they were or quantised.
public enum KVPart: Sendable {
    case plain(KVTensor)
    case quantized(QuantizedTensor)

    public var byteCount: Int {
        switch self {
        case .plain(let tensor): tensor.byteCount
        case .quantized(let tensor): tensor.byteCount
        }
    }

    /// In the element they had before. A plain tensor is handed on, not copied.
    public func tensor() -> KVTensor {
        switch self {
        case .plain(let tensor): tensor
        case .quantized(let tensor): tensor.view.dequantized()
        }
    }
}
