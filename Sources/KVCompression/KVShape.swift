/// Sizes of a tensor of four dimensions. Keys and values are `[batch, heads, sequence, head_dim]`, attention scores
/// `[batch, query heads, queries, sequence]`: the last two are called rows and columns here.
public struct KVShape: Hashable, Sendable, CustomStringConvertible {
    public var batch: Int
    public var heads: Int
    /// Positions of keys and values; queries of attention scores.
    public var rows: Int
    /// The head's dimension of keys and values; positions of attention scores.
    public var columns: Int

    public init(_ batch: Int, _ heads: Int, _ rows: Int, _ columns: Int) {
        self.batch = batch
        self.heads = heads
        self.rows = rows
        self.columns = columns
    }

    /// All elements. Only of a shape that a view or tensor was made with: others may overflow.
    public var count: Int { batch * heads * rows * columns }

    public var description: String { "[\(batch), \(heads), \(rows), \(columns)]" }

    /// Throws if a size is negative, or if the bytes of a contiguous tensor of 4-byte elements don't fit an `Int`.
    /// Sizes of 0 don't hide the others.
    func check() throws(KVError) {
        var product = 4
        for size in [batch, heads, rows, columns] {
            let (next, overflow) = product.multipliedReportingOverflow(by: max(size, 1))
            if size < 0 || overflow { throw .badShape(self) }
            product = next
        }
    }
}

/// Steps between neighbours of a dimension, in elements. They may be 0 (one row for all) or negative.
public struct KVStrides: Hashable, Sendable {
    public var batch: Int
    public var heads: Int
    public var rows: Int
    public var columns: Int

    public init(_ batch: Int, _ heads: Int, _ rows: Int, _ columns: Int) {
        self.batch = batch
        self.heads = heads
        self.rows = rows
        self.columns = columns
    }

    /// The strides of a tensor without gaps.
    public init(contiguous shape: KVShape) {
        self.init(shape.heads * shape.rows * shape.columns, shape.rows * shape.columns, shape.columns, 1)
    }
}
