/// Sizes of a four-dimensional tensor. Keys and values are `[batch, heads, sequence, head_dim]`, attention scores
/// `[batch, query heads, queries, sequence]`. The last two dimensions are called rows and columns here.
public struct KVShape: Hashable, Sendable, CustomStringConvertible {
    /// Number of sequences.
    public var batch: Int
    /// Number of heads.
    public var heads: Int
    /// Positions of keys and values; queries of attention scores.
    public var rows: Int
    /// The head dimension of keys and values; positions of attention scores.
    public var columns: Int

    /// Creates a shape; a view or layout checks it.
    public init(_ batch: Int, _ heads: Int, _ rows: Int, _ columns: Int) {
        self.batch = batch
        self.heads = heads
        self.rows = rows
        self.columns = columns
    }

    /// Number of elements. Only for the shape of a view or tensor: others may overflow.
    public var count: Int { batch * heads * rows * columns }

    /// `[batch, heads, rows, columns]`.
    public var description: String { "[\(batch), \(heads), \(rows), \(columns)]" }

    /// Throws if a size is negative, or if a contiguous tensor of 4-byte elements has more than `Int.max` bytes. A size
    /// of 0 does not hide an overflow of the others.
    func check() throws(KVError) {
        var product = 4
        for size in [batch, heads, rows, columns] {
            let (next, overflow) = product.multipliedReportingOverflow(by: max(size, 1))
            if size < 0 || overflow { throw .badShape(self) }
            product = next
        }
    }
}

/// Distances between neighbours in each dimension, in elements. They may be 0 (one row for all) or negative.
public struct KVStrides: Hashable, Sendable {
    /// From a sequence to the next.
    public var batch: Int
    /// From a head to the next.
    public var heads: Int
    /// From a row to the next.
    public var rows: Int
    /// From a column to the next.
    public var columns: Int

    /// Strides in elements.
    public init(_ batch: Int, _ heads: Int, _ rows: Int, _ columns: Int) {
        self.batch = batch
        self.heads = heads
        self.rows = rows
        self.columns = columns
    }

    /// The strides of a contiguous tensor.
    public init(contiguous shape: KVShape) {
        self.init(shape.heads * shape.rows * shape.columns, shape.rows * shape.columns, shape.columns, 1)
    }
}
