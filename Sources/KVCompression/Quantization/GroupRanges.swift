/// Least and greatest element of each group of a block, and the values derived from them; in working memory.
struct GroupRanges {
    /// The least elements: the zero points.
    let least: UnsafeMutablePointer<Float>
    /// The greatest elements; `store` replaces them with the scales.
    let greatest: UnsafeMutablePointer<Float>
    /// 1 / scale, or 0.
    let inverse: UnsafeMutablePointer<Float>

    private typealias Vector = SIMD8<Float>

    /// Searches `rows` rows of `width` floats; NaN is ignored.
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

    /// Moves elements beyond the limit to the nearest end of their group's range, and NaN to the least element. If a
    /// group has no other elements (its least is then +∞, its greatest -∞), all of them become 0.
    @inline(never)
    func clamp(_ block: UnsafeMutablePointer<Float>, rows: Int, width: Int, _ layout: QuantizedLayout) {
        for index in 0..<layout.parameters(of: 0..<rows).count where least[index] > greatest[index] {
            (least[index], greatest[index]) = (0, 0)
        }
        for row in 0..<rows {
            for column in 0..<layout.shape.columns {
                let index = layout.axis == .channel ? column : row &* layout.groups &+ column / layout.group
                let value = block[row &* width &+ column]
                let above = value > least[index] ? value : least[index]
                block[row &* width &+ column] = above < greatest[index] ? above : greatest[index]
            }
        }
    }

    /// Writes `count` scales and zero points as elements, and computes `inverse`.
    @inline(never)
    func store(_ count: Int, _ layout: QuantizedLayout, scales: UnsafeMutableRawPointer, zeros: UnsafeMutableRawPointer)
    {
        let levels = Float(layout.levels)
        for i in 0..<count {
            let range = greatest[i] - least[i]
            let scale = range / levels
            // A smaller scale would make 1 / scale infinite, or be 0 for a group of subnormals.
            greatest[i] = range > 0 && scale < .leastNormalMagnitude ? .leastNormalMagnitude : scale
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

    /// Writes a code per byte for the row `line` of the block, which has nothing beyond the limit. Writes whole
    /// vectors, so up to 15 codes after the row's end are written too; they are 0, like the padding.
    @inline(never)
    func encode(
        _ values: UnsafePointer<Float>, line: Int, _ layout: QuantizedLayout, to codes: UnsafeMutablePointer<UInt8>
    ) {
        let columns = layout.shape.columns
        if layout.axis == .channel {
            var i = 0
            while i < columns {
                let vector = Self.codes(Self.wide(values + i), Self.wide(least + i), Self.wide(inverse + i))
                UnsafeMutableRawPointer(codes + i).storeBytes(of: vector, as: SIMD16<UInt8>.self)
                i &+= 16
            }
            return
        }
        var index = line &* layout.groups
        for first in stride(from: 0, to: columns, by: layout.group) {
            let (zero, factor) = (least[index], inverse[index])
            let end = min(first &+ layout.group, columns)
            var i = first
            while i &+ 16 <= end {
                let vector = Self.codes(Self.wide(values + i), SIMD16(repeating: zero), SIMD16(repeating: factor))
                UnsafeMutableRawPointer(codes + i).storeBytes(of: vector, as: SIMD16<UInt8>.self)
                i &+= 16
            }
            while i < end {
                codes[i] =
                    Self.codes(SIMD16(repeating: values[i]), SIMD16(repeating: zero), SIMD16(repeating: factor))[0]
                i &+= 1
            }
            index &+= 1
        }
    }

    @inline(__always)
    private static func wide(_ start: UnsafePointer<Float>) -> SIMD16<Float> {
        UnsafeRawPointer(start).loadUnaligned(as: SIMD16<Float>.self)
    }

    /// Adding 2^23 leaves the integer, rounded to nearest with ties to even, in the lowest bits. It is a valid code: no
    /// element is below the zero point, and the scale is so close to range / levels that no code exceeds `levels`.
    ///
    /// A comparison of such vectors would cost more than the whole function.
    @inline(__always)
    private static func codes(
        _ values: SIMD16<Float>, _ zeros: SIMD16<Float>, _ inverses: SIMD16<Float>
    ) -> SIMD16<UInt8> {
        let steps = (values - zeros) * inverses
        return SIMD16<UInt8>(truncatingIfNeeded: unsafeBitCast(steps + 0x1p23, to: SIMD16<UInt32>.self))
    }
}
