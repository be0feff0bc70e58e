import GRDB
import Storage

/// A tensor whose bytes are mapped.
public struct Tensor: Sendable {
    public let entry: TensorEntry
    public let bytes: MappedBytes
}

/// The tensors of one transformer block.
public struct Layer: Sendable {
    public let number: Int
    /// By name.
    public let tensors: [Tensor]

    /// The sum of the tensors' bytes.
    public var bytes: Int { tensors.reduce(0) { $0 + $1.entry.bytes } }
}
