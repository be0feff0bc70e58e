/// A tensor in memory with another owner, read through strides: keys, values or attention scores of the engine.
///
///     let keys = try KVView(bytes, element: .bfloat16, shape: KVShape(1, 32, 8192, 128))
///     // The engine's layout is [batch, sequence, heads, head_dim]:
///     let strided = try KVView(
///         bytes, element: .bfloat16, shape: KVShape(1, 32, 8192, 128), strides: KVStrides(0, 128, 32 * 128, 1))
///
/// Any strides that stay within the bytes are supported, and the bytes need no alignment; rows with contiguous elements
/// are read fastest. A view of a `KVTensor` keeps its memory alive. A view of other bytes does not: they must stay
/// valid and unchanged as long as the view is used.
public struct KVView: @unchecked Sendable {
    /// The type of its elements.
    public let element: KVElement
    /// Its sizes.
    public let shape: KVShape
    /// In elements.
    public let strides: KVStrides
    /// The address of the element [0, 0, 0, 0]; never read if the shape has no elements.
    let start: UnsafeRawPointer
    private let owner: KVMemory?

    /// A view of `bytes`; contiguous without `strides`. `offset` is the index of the element [0, 0, 0, 0] in `bytes`.
    ///
    /// - Throws: `badShape`; `outOfBounds` if an element would lie outside `bytes`.
    public init(
        _ bytes: UnsafeRawBufferPointer, element: KVElement, shape: KVShape, strides: KVStrides? = nil, offset: Int = 0
    ) throws(KVError) {
        try shape.check()
        let strides = strides ?? KVStrides(contiguous: shape)
        if shape.count > 0 {
            let available = bytes.count / element.bytes
            let reach = Self.reach(shape, strides, offset)
            guard let reach, reach.lowerBound >= 0, reach.upperBound < available else {
                throw .outOfBounds(first: reach?.lowerBound ?? .min, last: reach?.upperBound ?? .max, count: available)
            }
        }
        self.element = element
        self.shape = shape
        self.strides = strides
        start = shape.count > 0 ? bytes.baseAddress! + offset * element.bytes : KVMemory.nothing
        owner = nil
    }

    /// A contiguous view of memory that it keeps alive.
    init(_ memory: KVMemory, element: KVElement, shape: KVShape) {
        self.element = element
        self.shape = shape
        strides = KVStrides(contiguous: shape)
        start = UnsafeRawPointer(memory.start)
        owner = memory
    }

    private init(_ view: KVView, shape: KVShape, start: UnsafeRawPointer) {
        element = view.element
        strides = view.strides
        owner = view.owner
        self.shape = shape
        self.start = start
    }

    /// The rows (positions, for keys and values) in `range`, without a copy. The range is limited to the tensor's rows.
    ///
    /// KIVI does not quantise the last positions until they fill a group: quantise `rows(0..<full)`, and keep
    /// `rows(full..<count)`.
    public func rows(_ range: Range<Int>) -> KVView {
        let range = range.clamped(to: 0..<shape.rows)
        var part = shape
        part.rows = range.count
        let first = part.count > 0 ? start + range.lowerBound * strides.rows * element.bytes : start
        return KVView(self, shape: part, start: first)
    }

    /// The first and the last element that the view covers, counted from the start of its bytes; nil on overflow.
    private static func reach(_ shape: KVShape, _ strides: KVStrides, _ offset: Int) -> ClosedRange<Int>? {
        var low = offset
        var high = offset
        for (size, stride) in [
            (shape.batch, strides.batch), (shape.heads, strides.heads), (shape.rows, strides.rows),
            (shape.columns, strides.columns),
        ] {
            let (distance, overflow) = (size - 1).multipliedReportingOverflow(by: stride)
            let (end, overflowEnd) = (distance < 0 ? low : high).addingReportingOverflow(distance)
            if overflow || overflowEnd { return nil }
            if distance < 0 { low = end } else { high = end }
        }
        return low...high
    }
}
