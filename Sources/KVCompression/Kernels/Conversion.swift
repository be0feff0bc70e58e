// Loops over raw memory without branches, which the compiler vectorises. Written by hand, because the conversions of
// `Float16` call a function per element if the processor's baseline has no instruction for them.

/// Exact conversion to float32. `step` is the distance between elements in bytes.
enum Widening {
    @inline(__always)
    static func float32(_ source: UnsafeRawPointer, step: Int, _ count: Int, into target: UnsafeMutablePointer<Float>) {
        for i in 0..<count { target[i] = source.loadUnaligned(fromByteOffset: i &* step, as: Float.self) }
    }

    @inline(__always)
    static func float16(_ source: UnsafeRawPointer, step: Int, _ count: Int, into target: UnsafeMutablePointer<Float>) {
        for i in 0..<count {
            target[i] = value(half: source.loadUnaligned(fromByteOffset: i &* step, as: UInt16.self))
        }
    }

    @inline(__always)
    static func bfloat16(_ source: UnsafeRawPointer, step: Int, _ count: Int, into target: UnsafeMutablePointer<Float>)
    {
        for i in 0..<count {
            target[i] = value(brain: source.loadUnaligned(fromByteOffset: i &* step, as: UInt16.self))
        }
    }

    /// The arithmetic shift moves sign, exponent and fraction to their places in float32. The multiplication changes
    /// the exponent from half's bias to float's, and normalises subnormals. Infinities and NaN then get the exponent
    /// that marks them.
    @inline(__always)
    static func value(half: UInt16) -> Float {
        let shifted = Int32(bitPattern: UInt32(truncatingIfNeeded: half) &<< 16) &>> 3
        let bits = UInt32(bitPattern: shifted) & 0x8FFF_E000
        let special: UInt32 = bits & 0x0F80_0000 == 0x0F80_0000 ? 0x7F80_0000 : 0
        return Float(bitPattern: (Float(bitPattern: bits) * 0x1p112).bitPattern | special)
    }

    @inline(__always)
    static func value(brain: UInt16) -> Float { Float(bitPattern: UInt32(truncatingIfNeeded: brain) &<< 16) }
}

/// Conversion from float32 to the nearest value, ties to even; too large values become infinite, NaN stays NaN.
enum Narrowing {
    @inline(__always)
    static func float16(_ source: UnsafePointer<Float>, _ count: Int, into target: UnsafeMutableRawPointer) {
        for i in 0..<count { target.storeBytes(of: half(source[i]), toByteOffset: i &* 2, as: UInt16.self) }
    }

    @inline(__always)
    static func bfloat16(_ source: UnsafePointer<Float>, _ count: Int, into target: UnsafeMutableRawPointer) {
        for i in 0..<count { target.storeBytes(of: brain(source[i]), toByteOffset: i &* 2, as: UInt16.self) }
    }

    /// Computes three results and selects one: adding 0.5 rounds a subnormal at half's last bit; a normal value is
    /// rounded with a carry into the exponent; all others are infinite or NaN.
    @inline(__always)
    static func half(_ value: Float) -> UInt16 {
        let bits = Int32(bitPattern: value.bitPattern)
        let magnitude = bits & 0x7FFF_FFFF
        let shifted = Float(bitPattern: UInt32(bitPattern: magnitude)) + 0.5
        let subnormal = Int32(bitPattern: shifted.bitPattern) &- 0x3F00_0000
        let normal = (magnitude &- 0x3800_0000 &+ 0xFFF &+ ((magnitude &>> 13) & 1)) &>> 13
        let special: Int32 = magnitude > 0x7F80_0000 ? 0x7E00 : 0x7C00
        var result = magnitude < 0x3880_0000 ? subnormal : normal
        result = magnitude >= 0x477F_F000 ? special : result
        return UInt16(truncatingIfNeeded: result | (bits &>> 16) & 0x8000)
    }

    @inline(__always)
    static func brain(_ value: Float) -> UInt16 {
        let bits = Int32(bitPattern: value.bitPattern)
        let rounded = bits &+ 0x7FFF &+ ((bits &>> 16) & 1)
        let result = bits & 0x7FFF_FFFF > 0x7F80_0000 ? bits | 0x40_0000 : rounded
        return UInt16(truncatingIfNeeded: result &>> 16)
    }
}

extension KVElement {
    /// Writes `count` values as contiguous elements to `target`.
    @inline(__always)
    func store(_ source: UnsafePointer<Float>, _ count: Int, to target: UnsafeMutableRawPointer) {
        switch self {
        case .float32: target.copyMemory(from: source, byteCount: count &* 4)
        case .float16: Narrowing.float16(source, count, into: target)
        case .bfloat16: Narrowing.bfloat16(source, count, into: target)
        }
    }

    /// Reads `count` contiguous elements.
    @inline(__always)
    func load(_ source: UnsafeRawPointer, _ count: Int, into target: UnsafeMutablePointer<Float>) {
        switch self {
        case .float32: Widening.float32(source, step: 4, count, into: target)
        case .float16: Widening.float16(source, step: 2, count, into: target)
        case .bfloat16: Widening.bfloat16(source, step: 2, count, into: target)
        }
    }
}
