/// The layout of the bytes of a quantised tensor.
///
///     codes       [batch, heads, rows, rowBytes]   bits each, the first of a row in the lowest bits of its first byte
///     scales      [batch, heads, parameters…]      in the tensor's element
///     zero points [batch, heads, parameters…]      in the tensor's element
///
/// Each part begins at a multiple of 64 bytes; a row's last byte and the gaps are filled with zeros. An element is
/// `zero + code * scale`. The parameters of a head are `[groups of rows, columns]` per channel and
/// `[rows, groups of columns]` per token. The last group is smaller if `group` does not divide the length.
public struct QuantizedLayout: Hashable, Sendable {
    /// The elements that share a scale and a zero point.
    public enum Axis: UInt8, Sendable {
        /// `group` positions of one channel: for keys, which have channels with large values.
        case channel
        /// `group` channels of one position: for values.
        case token
    }

    /// The tensor's sizes.
    public let shape: KVShape
    /// The tensor's element type, which scales, zero points and dequantised values have too.
    public let element: KVElement
    /// 8, 4 or 2.
    public let bits: Int
    /// The number of elements that share a scale; smaller in the last group.
    public let group: Int
    /// The direction of the groups.
    public let axis: Axis

    /// Checks the parameters.
    ///
    /// - Throws: `badShape`; `badParameter` if `bits` is not 8, 4 or 2, or `group` is not positive.
    public init(shape: KVShape, element: KVElement, bits: Int, group: Int, axis: Axis) throws(KVError) {
        try shape.check()
        guard bits == 8 || bits == 4 || bits == 2 else {
            throw .badParameter(method: "Quantized", name: "bits", value: bits, requirement: "must be 8, 4 or 2")
        }
        guard group >= 1 else {
            throw .badParameter(method: "Quantized", name: "group", value: group, requirement: "must be positive")
        }
        self.shape = shape
        self.element = element
        self.bits = bits
        self.group = group
        self.axis = axis
    }

    /// The greatest code.
    public var levels: Int { 1 << bits - 1 }

    /// Bytes of the codes of one row.
    public var rowBytes: Int { (shape.columns * bits + 7) / 8 }

    /// Number of groups along `axis` in one head.
    public var groups: Int {
        let length = axis == .channel ? shape.rows : shape.columns
        return length / group + (length % group == 0 ? 0 : 1)
    }

    /// Number of scales of one head, which is also the number of its zero points.
    public var parametersPerHead: Int { groups * (axis == .channel ? shape.columns : shape.rows) }

    /// Offset of the scales, in bytes.
    public var scalesOffset: Int { aligned(shape.batch * shape.heads * shape.rows * rowBytes) }

    /// Offset of the zero points, in bytes.
    public var zerosOffset: Int { scalesOffset + aligned(parameterBytes) }

    /// Total size in bytes.
    public var byteCount: Int { zerosOffset + aligned(parameterBytes) }

    private var parameterBytes: Int { shape.batch * shape.heads * parametersPerHead * element.bytes }

    private func aligned(_ count: Int) -> Int { (count + 63) & ~63 }

    /// Offset of the codes of a row. `head` is the index among all `batch * heads`.
    func codes(head: Int, row: Int) -> Int { (head * shape.rows + row) * rowBytes }

    /// Offset of a head's parameter `index` from the start of the scales, or zero points, in bytes.
    func parameter(head: Int, _ index: Int) -> Int { (head * parametersPerHead + index) * element.bytes }

    /// The parameters of a block of rows that begins with a group: index of the first one, and their number.
    func parameters(of rows: Range<Int>) -> (first: Int, count: Int) {
        switch axis {
        case .channel: (rows.lowerBound / group * shape.columns, shape.columns)
        case .token: (rows.lowerBound * groups, rows.count * groups)
        }
    }

    /// Floats per row in working memory, a multiple of a vector's length.
    var paddedColumns: Int { (shape.columns + 15) & ~15 }

    /// Rows that are processed together: a group per channel; per token as many as fit the first-level cache.
    var blockRows: Int {
        axis == .channel ? max(min(group, shape.rows), 1) : max(min(4096 / max(paddedColumns, 1), 32), 1)
    }
}
