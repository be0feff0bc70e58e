import Synchronization

/// Keys or values in few bits, in memory of its own; `QuantizedLayout` says how. The bytes may be stored, and read
/// again as a `QuantizedView`.
public struct QuantizedTensor: Sendable {
    public let layout: QuantizedLayout
    /// Elements that were NaN, infinite or beyond ±2^126.
    public let saturated: Int
    private let memory: KVMemory

    /// Quantises `view`; `Quantized` says by which rule.
    ///
    /// - Throws: `badParameter` if `bits` is not 8, 4 or 2, or `group` not positive.
    public init(_ view: KVView, bits: Int, group: Int, axis: QuantizedLayout.Axis) throws(KVError) {
        try self.init(view, rows: nil, bits: bits, group: group, axis: axis)
    }

    /// Quantises the rows of `view` at `positions`, or all.
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

    /// Bytes of codes, scales and zero points.
    public var byteCount: Int { memory.count }

    /// The bytes as they are read; keeps them alive.
    public var view: QuantizedView { QuantizedView(memory, layout) }

    /// Calls `body` with the bytes, which are valid during the call.
    public func withBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try memory.withBytes(body)
    }
}

extension QuantizedLayout {
    /// The bytes between the parts become 0: what is stored is the same each time, and its digest too.
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
