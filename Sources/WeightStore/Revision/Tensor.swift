import GRDB
import Storage

/// A tensor whose bytes are mapped.
public struct Tensor: Sendable {
    /// Name, dtype, shape and place.
    public let entry: TensorEntry
    /// The bytes, little-endian and row-major as in the file.
    public let bytes: MappedBytes
}

/// The tensors of one transformer block.
public struct Layer: Sendable {
    /// The layer's number, from 0.
    public let number: Int
    /// Sorted by file and name.
    public let tensors: [Tensor]

    /// The sum of the tensors' bytes.
    public var bytes: Int { tensors.saturatingSum(\.entry.bytes) }
}
