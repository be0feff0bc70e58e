/// Keys and values of one layer: the input of a method, with the other data that some methods need.
public struct KVLayer: Sendable {
    /// `[batch, heads, sequence, head_dim]`.
    public let keys: KVView
    /// `[batch, heads, sequence, head_dim]`; its `head_dim` and element may differ from the keys'.
    public let values: KVView
    /// Attention weights after softmax, `[batch, query heads, queries, sequence]`. With grouped-query attention the
    /// number of query heads is a multiple of the keys' heads: head `h` of the keys serves the query heads
    /// `h * n ..< (h + 1) * n`, and their scores are summed.
    public let attention: KVView?
    /// The layer's index in the model, from 0: `pyramid` keeps less in later layers.
    public let index: Int

    /// Number of sequences.
    public var batch: Int { keys.shape.batch }
    /// Number of heads of the keys.
    public var heads: Int { keys.shape.heads }
    /// Number of positions.
    public var sequence: Int { keys.shape.rows }

    /// Combines tensors of one layer.
    ///
    /// - Throws: `shapeMismatch` if the tensors do not fit each other; `sequenceTooLong`.
    public init(keys: KVView, values: KVView, attention: KVView? = nil, index: Int = 0) throws(KVError) {
        let shape = keys.shape
        var expected = values.shape
        (expected.batch, expected.heads, expected.rows) = (shape.batch, shape.heads, shape.rows)
        if values.shape != expected { throw .shapeMismatch("values", expected, values.shape) }
        if shape.rows > Int(Int32.max) { throw .sequenceTooLong(shape.rows) }
        if let scores = attention?.shape {
            let queryHeads = shape.heads == 0 ? 0 : max(scores.heads / shape.heads, 1) * shape.heads
            let expected = KVShape(shape.batch, queryHeads, scores.rows, shape.rows)
            if scores != expected { throw .shapeMismatch("attention", expected, scores) }
        }
        self.keys = keys
        self.values = values
        self.attention = attention
        self.index = index
    }
}
