import Synchronization

/// Quantised keys or values in memory of their own, with the bytes of a `QuantizedLayout`. The bytes may be stored, and
/// read again through a `QuantizedView`.
public struct QuantizedTensor: Sendable {
    /// The layout of the bytes.
    public let layout: QuantizedLayout
    /// Number of elements that were NaN, infinite or beyond ±2^126.
    public let saturated: Int
    private let memory: KVMemory

    /// Quantises `view` by the rule of ``Quantized``.
    ///
    /// - Throws: `badParameter` if `bits` is not 8, 4 or 2, or `group` is not positive.
    public init(_ view: KVView, bits: Int, group: Int, axis: QuantizedLayout.Axis) throws(KVError) {
        try self.init(view, rows: nil, bits: bits, group: group, axis: axis)
    }

    /// Quantises the rows of `view` at `positions`, or all rows for nil.
    init(
        _ view: KVView, rows positions: KVPositions?, bits: Int, group: Int, axis: QuantizedLayout.Axis
    ) throws(KVError) {
        var shape = view.shape
        shape.rows = positions?.count ?? shape.rows
        let layout = try QuantizedLayout(shape: shape, element: view.element, bits: bits, group: group, axis: axis)
        let memory = KVMemory(count: layout.byteCount)
        let target = memory.start
        layout.clearGaps(target)

        let saturated = Atomic(0)
        let pieces = Pieces(
            heads: shape.batch * shape.heads, rows: shape.rows, rowBytes: shape.columns * view.element.bytes,
            multiple: layout.blockRows, bytes: 256 << 10)
        let bytes = shape.count * view.element.bytes + layout.byteCount
        (positions?.indices ?? []).withUnsafeBufferPointer { indices in
            Parallel.run(pieces.units, bytes: bytes) { unit in
                let head = pieces.head(of: unit)
                let own = positions.map { indices.baseAddress! + ($0.shared ? 0 : head * $0.count) }
                let beyond = BlockQuantizer.quantize(
                    view.head(head), own, pieces.rows(of: unit), layout, head: head, to: target)
                if beyond > 0 { saturated.add(beyond, ordering: .relaxed) }
            }
        }
        extendLifetime(view)
        self.layout = layout
        self.memory = memory
        self.saturated = saturated.load(ordering: .relaxed)
    }

    /// Size of codes, scales and zero points, in bytes.
    public var byteCount: Int { memory.count }

    /// A view of the bytes, which keeps them alive.
    public var view: QuantizedView { QuantizedView(memory, layout) }

    /// Calls `body` with the bytes, which are valid during the call.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try memory.withBytes(body)
    }
}

extension QuantizedLayout {
    /// Sets the bytes between the parts to 0: stored bytes, and so their digest, are the same each time.
    fileprivate func clearGaps(_ start: UnsafeMutableRawPointer) {
        let heads = shape.batch * shape.heads
        for (end, next) in [
            (codes(head: heads, row: 0), scalesOffset), (scalesOffset + parameter(head: heads, 0), zerosOffset),
            (zerosOffset + parameter(head: heads, 0), byteCount),
        ] {
            (start + end).initializeMemory(as: UInt8.self, repeating: 0, count: next - end)
        }
    }
}
