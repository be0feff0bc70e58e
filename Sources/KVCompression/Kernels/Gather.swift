extension KVView {
    /// The rows at `positions`, copied bit for bit: `[batch, heads, positions.count, columns]`.
    func gathered(_ positions: KVPositions) -> KVTensor {
        var kept = shape
        kept.rows = positions.count
        let tensor = KVTensor(element: element, shape: kept)
        let rowBytes = shape.columns * element.bytes
        let pieces = Pieces(heads: shape.batch * shape.heads, rows: kept.rows, rowBytes: rowBytes)
        let target = tensor.memory.start
        positions.indices.withUnsafeBufferPointer { indices in
            Parallel.run(pieces.units, bytes: 2 * tensor.byteCount) { unit in
                let (head, rows) = (pieces.head(of: unit), pieces.rows(of: unit))
                let own = indices.baseAddress! + (positions.shared ? 0 : head * kept.rows)
                self.head(head).copy(own, rows, to: target + head * kept.rows * rowBytes)
            }
        }
        extendLifetime(self)
        return tensor
    }
}

extension HeadRows {
    /// Copies the rows numbered `positions[range]` to their places in `target`, where row `i` begins at `i * rowBytes`.
    /// Contiguous rows are copied together.
    @inline(never)
    fileprivate func copy(_ positions: UnsafePointer<Int32>, _ range: Range<Int>, to target: UnsafeMutableRawPointer) {
        let rowBytes = columns &* element.bytes
        guard rowsAreDense else {
            for i in range { copyColumns(row(Int(positions[i])), to: target + i &* rowBytes) }
            return
        }
        let joins = rowStep == rowBytes
        var first = range.lowerBound
        while first < range.upperBound {
            var end = first &+ 1
            if joins { while end < range.upperBound && positions[end] == positions[end &- 1] &+ 1 { end &+= 1 } }
            let source = row(Int(positions[first]))
            (target + first &* rowBytes).copyMemory(from: source, byteCount: (end &- first) &* rowBytes)
            first = end
        }
    }

    private func copyColumns(_ source: UnsafeRawPointer, to target: UnsafeMutableRawPointer) {
        if element == .float32 {
            for i in 0..<columns {
                let bits = source.loadUnaligned(fromByteOffset: i &* columnStep, as: UInt32.self)
                target.storeBytes(of: bits, toByteOffset: i &* 4, as: UInt32.self)
            }
        } else {
            for i in 0..<columns {
                let bits = source.loadUnaligned(fromByteOffset: i &* columnStep, as: UInt16.self)
                target.storeBytes(of: bits, toByteOffset: i &* 2, as: UInt16.self)
            }
        }
    }
}
