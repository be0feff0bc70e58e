/// The rows of one head, as raw memory: every read of the engine's memory uses this type.
///
/// `KVView` has checked that all rows lie within its bytes, so nothing is checked here.
struct HeadRows {
    let element: KVElement
    let columns: Int
    private let start: UnsafeRawPointer
    /// Bytes from a row, or a column, to the next.
    let rowStep: Int
    let columnStep: Int

    /// Whether the elements of a row are contiguous.
    var rowsAreDense: Bool { columnStep == element.bytes || columns <= 1 }

    @inline(__always)
    func row(_ index: Int) -> UnsafeRawPointer { start + index &* rowStep }

    fileprivate init(_ view: KVView, batch: Int, head: Int) {
        element = view.element
        columns = view.shape.columns
        let bytes = view.element.bytes
        start = view.start + (batch * view.strides.batch + head * view.strides.heads) * bytes
        rowStep = view.strides.rows * bytes
        columnStep = view.strides.columns * bytes
    }

    /// Writes the elements `range` of a row as float32 to `target`.
    @inline(__always)
    func load(_ index: Int, _ range: Range<Int>, into target: UnsafeMutablePointer<Float>) {
        let source = row(index) + range.lowerBound &* columnStep
        switch (element, rowsAreDense) {
        case (.float32, true): Widening.float32(source, step: 4, range.count, into: target)
        case (.float32, false): Widening.float32(source, step: columnStep, range.count, into: target)
        case (.float16, true): Widening.float16(source, step: 2, range.count, into: target)
        case (.float16, false): Widening.float16(source, step: columnStep, range.count, into: target)
        case (.bfloat16, true): Widening.bfloat16(source, step: 2, range.count, into: target)
        case (.bfloat16, false): Widening.bfloat16(source, step: columnStep, range.count, into: target)
        }
    }
}

extension KVView {
    /// The rows of the head number `index` of all `batch * heads`.
    func head(_ index: Int) -> HeadRows {
        HeadRows(self, batch: index / shape.heads, head: index % shape.heads)
    }
}
