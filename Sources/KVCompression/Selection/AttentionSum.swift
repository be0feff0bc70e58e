/// Sums of attention scores over queries.
enum AttentionSum {
    /// Columns that are summed at once, so that the sums and a part of a row stay in the first-level cache.
    private static let tile = 2048

    /// Sums the first `count` columns over all rows of `heads` (indices among all `batch * query heads`), in order.
    static func sum(_ attention: KVView, heads: Range<Int>, _ count: Int, into sums: UnsafeMutablePointer<Float>) {
        sums.initialize(repeating: 0, count: count)
        withUnsafeTemporaryAllocation(of: Float.self, capacity: tile) { row in
            for head in heads {
                let rows = attention.head(head)
                var first = 0
                while first < count {
                    let columns = first..<min(first + tile, count)
                    for index in 0..<attention.shape.rows {
                        rows.load(index, columns, into: row.baseAddress!)
                        add(row.baseAddress!, columns.count, to: sums + first)
                    }
                    first += tile
                }
            }
        }
    }

    @inline(__always)
    private static func add(_ row: UnsafePointer<Float>, _ count: Int, to sums: UnsafeMutablePointer<Float>) {
        for i in 0..<count {
            let score = row[i]
            sums[i] += score == score ? score : 0
        }
    }
}
