/// A quantised tensor in memory with another owner. Like a `KVView`, it keeps the memory of a `QuantizedTensor` alive,
/// and no other memory.
public struct QuantizedView: @unchecked Sendable {
    /// The layout of the bytes.
    public let layout: QuantizedLayout
    private let start: UnsafeRawPointer
    private let owner: KVMemory?

    /// A view of stored bytes, as passed by `QuantizedTensor.withBytes`. Any bytes of the right length are a valid
    /// tensor.
    ///
    /// - Throws: `badLength`.
    public init(_ bytes: UnsafeRawBufferPointer, _ layout: QuantizedLayout) throws(KVError) {
        guard bytes.count == layout.byteCount else {
            throw .badLength(expected: layout.byteCount, found: bytes.count)
        }
        self.layout = layout
        start = bytes.baseAddress ?? KVMemory.nothing
        owner = nil
    }

    init(_ memory: KVMemory, _ layout: QuantizedLayout) {
        self.layout = layout
        start = UnsafeRawPointer(memory.start)
        owner = memory
    }

    /// The scale and the zero point of an element's group.
    public func parameters(batch: Int, head: Int, row: Int, column: Int) -> (scale: Float, zero: Float) {
        let inHead =
            layout.axis == .channel
            ? row / layout.group * layout.shape.columns + column : row * layout.groups + column / layout.group
        let offset = layout.parameter(head: batch * layout.shape.heads + head, inHead)
        var result: (Float, Float) = (0, 0)
        layout.element.load(start + layout.scalesOffset + offset, 1, into: &result.0)
        layout.element.load(start + layout.zerosOffset + offset, 1, into: &result.1)
        return result
    }

    /// The code of an element, 0 to `layout.levels`.
    public func code(batch: Int, head: Int, row: Int, column: Int) -> Int {
        let bit = column * layout.bits
        let offset = layout.codes(head: batch * layout.shape.heads + head, row: row) + bit / 8
        return Int(start.load(fromByteOffset: offset, as: UInt8.self)) >> (bit % 8) & layout.levels
    }

    /// The tensor in its original element type: `zero + code * scale`, rounded to the nearest value, and limited to the
    /// greatest finite value.
    public func dequantized() -> KVTensor {
        let tensor = KVTensor(element: layout.element, shape: layout.shape)
        let pieces = Pieces(
            heads: layout.shape.batch * layout.shape.heads, rows: layout.shape.rows,
            rowBytes: layout.shape.columns * layout.element.bytes, multiple: layout.blockRows, bytes: 256 << 10)
        let target = tensor.memory.start
        Parallel.run(pieces.units, bytes: tensor.byteCount + layout.byteCount) { unit in
            BlockDequantizer.dequantize(
                start, pieces.rows(of: unit), layout, head: pieces.head(of: unit), to: target)
        }
        extendLifetime(self)
        return tensor
    }
}
