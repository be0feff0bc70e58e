/// Dequantises rows of one head, a block at a time.
enum BlockDequantizer {
    /// Writes the rows `range` to their places in `target`, from the bytes `source`. `range` begins at a block's start.
    static func dequantize(
        _ source: UnsafeRawPointer, _ range: Range<Int>, _ layout: QuantizedLayout, head: Int,
        to target: UnsafeMutableRawPointer
    ) {
        let columns = layout.shape.columns
        let width = layout.paddedColumns
        let blockRows = layout.blockRows
        let parameters = max(layout.parameters(of: 0..<blockRows).count, 1)
        let bytes = columns * layout.element.bytes
        withUnsafeTemporaryAllocation(byteCount: 8 * parameters + 5 * width + 64, alignment: 64) { memory in
            let scales = memory.baseAddress!.assumingMemoryBound(to: Float.self)
            let zeros = scales + parameters
            let row = zeros + parameters
            let codes = (row + width).withMemoryRebound(to: UInt8.self, capacity: width) { $0 }

            var first = range.lowerBound
            while first < range.upperBound {
                let part = first..<min(first + blockRows, range.upperBound)
                let own = layout.parameters(of: part)
                let offset = layout.parameter(head: head, own.first)
                layout.element.load(source + layout.scalesOffset + offset, own.count, into: scales)
                layout.element.load(source + layout.zerosOffset + offset, own.count, into: zeros)
                for index in part {
                    CodePacking.unpack(
                        source + layout.codes(head: head, row: index), layout.rowBytes, bits: layout.bits, to: codes)
                    decode(codes, scales, zeros, line: index - first, layout, to: row)
                    layout.element.store(row, columns, to: target + (head * layout.shape.rows + index) * bytes)
                }
                first = part.upperBound
            }
        }
    }

    /// The values of the row `line` of a block, limited to the greatest finite value: by rounding, only half can exceed
    /// it.
    @inline(never)
    private static func decode(
        _ codes: UnsafePointer<UInt8>, _ scales: UnsafePointer<Float>, _ zeros: UnsafePointer<Float>, line: Int,
        _ layout: QuantizedLayout, to values: UnsafeMutablePointer<Float>
    ) {
        let columns = layout.shape.columns
        let greatest = layout.element.greatest
        if layout.axis == .channel {
            for i in 0..<columns {
                let value = zeros[i] + Float(Int32(truncatingIfNeeded: codes[i])) * scales[i]
                values[i] = value < greatest ? value : greatest
            }
            return
        }
        var index = line &* layout.groups
        for first in stride(from: 0, to: columns, by: layout.group) {
            let (zero, scale) = (zeros[index], scales[index])
            for i in first..<min(first &+ layout.group, columns) {
                let value = zero + Float(Int32(truncatingIfNeeded: codes[i])) * scale
                values[i] = value < greatest ? value : greatest
            }
            index &+= 1
        }
    }
}
