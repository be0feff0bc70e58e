/// The kept positions of a sequence, sorted and unique in every head.
///
/// The engine needs them for rotary embeddings. If keys are cached before rotation, the kept key number `i` gets the
/// position `i`, as in StreamingLLM, or its original position, as in SnapKV and H2O. If keys are cached after rotation,
/// a rotation of `i - positions[i]` moves a key from `positions[i]` to `i`.
public struct KVPositions: Equatable, Sendable {
    /// Number of sequences.
    public let batch: Int
    /// Number of heads.
    public let heads: Int
    /// Number of positions kept in each head.
    public let count: Int
    /// `[count]` if all heads keep the same positions, otherwise `[batch, heads, count]`.
    public let indices: [Int32]
    /// Whether all heads keep the same positions.
    public let shared: Bool

    /// The positions kept in one head, ascending.
    public subscript(batch: Int, head: Int) -> ArraySlice<Int32> {
        precondition(0..<self.batch ~= batch && 0..<heads ~= head, "no such head")
        let first = shared ? 0 : (batch * heads + head) * count
        return indices[first..<first + count]
    }

    /// The same positions in all heads.
    ///
    /// - Parameter indices: ascending, without duplicates, within the layer's sequence.
    public init(of layer: KVLayer, shared indices: [Int32]) {
        precondition(Self.areValid(indices[...], layer), "positions must ascend and be within the sequence")
        batch = layer.batch
        heads = layer.heads
        count = indices.count
        self.indices = indices
        shared = true
    }

    /// All positions.
    public init(all layer: KVLayer) {
        self.init(of: layer, shared: Array(0..<Int32(layer.sequence)))
    }

    /// `count` positions for each head, `[batch, heads, count]`.
    ///
    /// - Parameter indices: in each head ascending, without duplicates, within the layer's sequence.
    public init(of layer: KVLayer, count: Int, perHead indices: [Int32]) {
        precondition(
            indices.count == layer.batch * layer.heads * count
                && (0..<layer.batch * layer.heads).allSatisfy {
                    Self.areValid(indices[$0 * count..<($0 + 1) * count], layer)
                },
            "positions must ascend in each head and be within the sequence")
        batch = layer.batch
        heads = layer.heads
        self.count = count
        self.indices = indices
        shared = false
    }

    private static func areValid(_ indices: ArraySlice<Int32>, _ layer: KVLayer) -> Bool {
        zip(indices, indices.dropFirst()).allSatisfy { $0 < $1 } && (indices.first ?? 0) >= 0
            && Int(indices.last ?? -1) < layer.sequence
    }
}
