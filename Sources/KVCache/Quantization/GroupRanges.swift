/// Least and greatest element of the groups of a block, and what follows from them; in working memory.
struct GroupRanges {
    /// The least elements: the zero points.
    let least: UnsafeMutablePointer<Float>
    /// The greatest elements; `store` puts the scales in their place.
    let greatest: UnsafeMutablePointer<Float>
    /// 1 / scale, or 0.
    let inverse: UnsafeMutablePointer<Float>

    private typealias Vector = SIMD8<Float>

    /// Looks through `rows` rows of `width` floats; NaN is passed over.
    func find(_ block: UnsafePointer<Float>, rows: Int, width: Int, _ layout: QuantizedLayout) {
        switch layout.axis {
        case .channel:
            for column in stride(from: 0, to: width, by: Vector.scalarCount) {
                findInChannels(block + column, rows: rows, width: width, column)
            }
        case .token:
            var index = 0
            for row in 0..<rows {
                for first in stride(from: 0, to: layout.shape.columns, by: layout.group) {
                    let count = min(layout.group, layout.shape.columns - first)
                    findInToken(block + row &* width + first, count, index)
                    index &+= 1
                }
            }
        }
    }

    @inline(__always)
    private func findInChannels(_ block: UnsafePointer<Float>, rows: Int, width: Int, _ column: Int) {
        var low = Vector(repeating: .infinity)
        var high = -low
        for row in 0..<rows {
            let value = Self.vector(block + row &* width)
            low = Self.least(value, low)
            high = Self.greatest(value, high)
        }
        UnsafeMutableRawPointer(least + column).storeBytes(of: low, as: Vector.self)
        UnsafeMutableRawPointer(greatest + column).storeBytes(of: high, as: Vector.self)
    }

    @inline(__always)
    private func findInToken(_ values: UnsafePointer<Float>, _ count: Int, _ index: Int) {
        var low = Vector(repeating: .infinity)
        var high = -low
        var i = 0
        while i &+ Vector.scalarCount <= count {
            let value = Self.vector(values + i)
            low = Self.least(value, low)
            high = Self.greatest(value, high)
            i &+= Vector.scalarCount
        }
        var (smallest, largest) = (Float.infinity, -Float.infinity)
        for lane in 0..<Vector.scalarCount {
            smallest = low[lane] < smallest ? low[lane] : smallest
            largest = high[lane] > largest ? high[lane] : largest
        }
        while i < count {
            smallest = values[i] < smallest ? values[i] : smallest
            largest = values[i] > largest ? values[i] : largest
            i &+= 1
        }
        least[index] = smallest
        greatest[index] = largest
    }

    @inline(__always)
    private static func vector(_ start: UnsafePointer<Float>) -> Vector {
        UnsafeRawPointer(start).loadUnaligned(as: Vector.self)
    }

    @inline(__always)
    private static func least(_ a: Vector, _ b: Vector) -> Vector { b.replacing(with: a, where: a .< b) }

    @inline(__always)
    private static func greatest(_ a: Vector, _ b: Vector) -> Vector { b.replacing(with: a, where: a .> b) }

    /// Writes `count` scales and zero points as elements, and makes `inverse`.
    @inline(never)
    func store(_ count: Int, _ layout: QuantizedLayout, scales: UnsafeMutableRawPointer, zeros: UnsafeMutableRawPointer) {
        let levels = Float(layout.levels)
        for i in 0..<count {
            // A group without a finite element has least +∞ and greatest -∞.
            let empty = least[i] > greatest[i]
            let low = empty ? 0 : least[i]
            let high = empty ? 0 : greatest[i]
            let scale = (high - low) / levels
            least[i] = low
            // Below, 1 / scale would be infinite, and the scale of a group of subnormals 0.
            greatest[i] = high > low && scale < .leastNormalMagnitude ? .leastNormalMagnitude : scale
        }
        switch layout.element {
        case .float32: break
        case .float16: for i in 0..<count { greatest[i] = Self.roundedUpToHalf(greatest[i]) }
        case .bfloat16: for i in 0..<count { greatest[i] = Self.roundedUpToBrain(greatest[i]) }
        }
        for i in 0..<count { inverse[i] = greatest[i] > 0 ? 1 / greatest[i] : 0 }
        layout.element.store(greatest, count, to: scales)
        layout.element.store(least, count, to: zeros)
    }

    @inline(__always)
    private static func roundedUpToHalf(_ value: Float) -> Float {
        let nearest = Narrowing.half(value)
        return Widening.value(half: nearest &+ (Widening.value(half: nearest) < value ? 1 : 0))
    }

    @inline(__always)
    private static func roundedUpToBrain(_ value: Float) -> Float {
        Float(bitPattern: (value.bitPattern &+ 0xFFFF) & 0xFFFF_0000)
    }

    /// Writes a code per byte for the row `line` of the block.
    @inline(never)
    func encode(_ values: UnsafePointer<Float>, line: Int, _ layout: QuantizedLayout, to codes: UnsafeMutablePointer<UInt8>) {
        let levels = Float(layout.levels)
        let columns = layout.shape.columns
        if layout.axis == .channel {
            for i in 0..<columns { codes[i] = Self.code(values[i], least[i], inverse[i], levels) }
            return
        }
        var index = line &* layout.groups
        for first in stride(from: 0, to: columns, by: layout.group) {
            let (zero, factor) = (least[index], inverse[index])
            for i in first..<min(first &+ layout.group, columns) { codes[i] = Self.code(values[i], zero, factor, levels) }
            index &+= 1
        }
    }

    /// Adding 2^23 leaves the integer, rounded to the nearest and of ties to the even, in the lowest bits. NaN compares
    /// as false, and becomes 0.
    @inline(__always)
    private static func code(_ value: Float, _ zero: Float, _ inverse: Float, _ levels: Float) -> UInt8 {
        var steps = (value - zero) * inverse
        steps = steps > 0 ? steps : 0
        steps = steps < levels ? steps : levels
        return UInt8(truncatingIfNeeded: (steps + 0x1p23).bitPattern)
    }
}
