/// Quantises rows of one head, a block at a time: the block is converted to float32 in working memory that stays in the
/// processor's cache, and all steps work there.
enum BlockQuantizer {
    /// Elements of a greater magnitude do not count for the scales; so no difference overflows.
    static var limit: Float { 0x1p126 }

    /// Quantises the rows `range` (of those at `positions`, if given) into the bytes `target`, and returns the number
    /// of elements beyond the limit. `range` begins at a block's start.
    static func quantize(
        _ rows: HeadRows, _ positions: UnsafePointer<Int32>?, _ range: Range<Int>, _ layout: QuantizedLayout, head: Int,
        to target: UnsafeMutableRawPointer
    ) -> Int {
        let columns = layout.shape.columns
        let width = layout.paddedColumns
        let blockRows = layout.blockRows
        let block = blockRows * width
        let parameters = max(width, layout.parameters(of: 0..<blockRows).count + 15 & ~15)
        var beyond = 0
        // Two copies of the block, three arrays of parameters, the codes of a row.
        withUnsafeTemporaryAllocation(byteCount: 8 * block + 12 * parameters + width + 64, alignment: 64) { memory in
            let floats = memory.baseAddress!.assumingMemoryBound(to: Float.self)
            floats.initialize(repeating: 0, count: 2 * block + 3 * parameters)
            let clean = floats + block
            let least = clean + block
            let ranges = GroupRanges(least: least, greatest: least + parameters, inverse: least + 2 * parameters)
            let codes = (ranges.inverse + parameters).withMemoryRebound(to: UInt8.self, capacity: width) { $0 }
            codes.initialize(repeating: 0, count: width)

            var first = range.lowerBound
            while first < range.upperBound {
                let part = first..<min(first + blockRows, range.upperBound)
                for row in part {
                    let source = positions.map { Int($0[row]) } ?? row
                    rows.load(source, 0..<columns, into: floats + (row - first) * width)
                }
                let count = part.count * width
                let outliers = countBeyond(floats, count)
                if outliers > 0 { copyWithin(floats, count, to: clean) }
                ranges.find(outliers > 0 ? clean : floats, rows: part.count, width: width, layout)
                if outliers > 0 { ranges.clamp(floats, rows: part.count, width: width, layout) }

                let parameters = layout.parameters(of: part)
                let offset = layout.parameter(head: head, parameters.first)
                ranges.store(
                    parameters.count, layout, scales: target + layout.scalesOffset + offset,
                    zeros: target + layout.zerosOffset + offset)

                for row in part {
                    let line = row - first
                    let bytes = target + layout.codes(head: head, row: row)
                    ranges.encode(floats + line * width, line: line, layout, to: codes)
                    CodePacking.pack(codes, layout.rowBytes, bits: layout.bits, to: bytes)
                }
                beyond += outliers
                first = part.upperBound
            }
        }
        return beyond
    }

    @inline(never)
    private static func countBeyond(_ values: UnsafePointer<Float>, _ count: Int) -> Int {
        var beyond: UInt32 = 0
        var i = 0
        while i < count {
            beyond &+= isBeyond(values[i])
            i &+= 1
        }
        return Int(beyond)
    }

    /// Copies, with NaN for elements beyond the limit: the search for least and greatest ignores NaN.
    @inline(never)
    private static func copyWithin(_ values: UnsafePointer<Float>, _ count: Int, to target: UnsafeMutablePointer<Float>)
    {
        for i in 0..<count { target[i] = isBeyond(values[i]) == 1 ? .nan : values[i] }
    }

    /// 1 if the value is beyond the limit, otherwise 0: the sign of a difference of bit patterns, in which infinities
    /// and NaN are above all numbers. The compiler vectorises this, but not a comparison.
    @inline(__always)
    private static func isBeyond(_ value: Float) -> UInt32 {
        (limit.bitPattern &- (value.bitPattern & 0x7FFF_FFFF)) &>> 31
    }
}
