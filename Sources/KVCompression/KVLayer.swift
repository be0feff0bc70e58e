/// Keys and values of one layer as a method gets them, with what the method may need to know.
public struct KVLayer: Sendable {
    /// `[batch, heads, sequence, head_dim]`.
    public let keys: KVView
    /// `[batch, heads, sequence, head_dim]`; its `head_dim` and element may differ from the keys'.
    public let values: KVView
    /// Attention after softmax that queries gave to the positions, `[batch, query heads, queries, sequence]`. With
    /// grouped queries there is a multiple of the heads of keys, and head `h` of the keys serves the query heads
    /// `h * n ..< (h + 1) * n`; their scores are summed.
    public let attention: KVView?
    /// Which layer of the model this is, from 0: `pyramid` keeps less in later layers.
    public let index: Int

    public var batch: Int { keys.shape.batch }
    public var heads: Int { keys.shape.heads }
    public var sequence: Int { keys.shape.rows }

    /// - Throws: `shapeMismatch` if the three don't belong together, `sequenceTooLong`.
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
