/// Keeps all positions in 8, 4 or 2 bits per element: keys per channel, values per token.
///
/// Liu, Yuan, Jin, Zhong, Xu, Braverman, Chen, Hu: "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache",
/// arXiv:2402.02750. A group of `group` elements (positions of one channel of the keys, channels of one position of
/// the values) has a scale and a zero point; an element `x` becomes the code `round((x - zero) / scale)`, and is
/// dequantised to `zero + code * scale`.
///
/// * The zero point is the least element of the group. The scale is (greatest - least) / (2^bits - 1), rounded up to a
///   value of the element type (float32: to the nearest, and at least 2^-126); so the codes reach the greatest element.
/// * The error of a finite element is at most half the scale plus the rounding of the result to the element type:
///   `scale / 2 + ulp(greatest magnitude of the group)`. For float32, in which the computation itself runs, 8 `ulp`.
/// * An element that is NaN, infinite or beyond ±2^126 does not count for the scale. It becomes the nearest end of its
///   group's range, or for NaN the zero point. In a group without other elements, all become 0.
///   `QuantizedTensor.saturated` counts such elements.
/// * A group of equal elements has the scale 0 and no error.
///
/// KIVI does not quantise the most recent positions: pass the others with `KVView.rows`.
public struct Quantized: KVMethod {
    /// Bits per element: 8, 4 or 2.
    public var bits: Int
    /// The number of elements that share a scale and a zero point.
    public var group: Int

    /// A method with these parameters, which are checked at each use.
    public init(bits: Int, group: Int = 32) {
        self.bits = bits
        self.group = group
    }

    /// Quantises all positions.
    ///
    /// - Throws: `badParameter` if `bits` is not 8, 4 or 2, or `group` is not positive.
    public func compress(_ layer: KVLayer) throws(KVError) -> CompressedKV {
        try compress(layer, keeping: nil)
    }

    /// Quantises the rows at `positions`, or all rows for nil.
    func compress(_ layer: KVLayer, keeping positions: KVPositions?) throws(KVError) -> CompressedKV {
        let keys = try QuantizedTensor(layer.keys, rows: positions, bits: bits, group: group, axis: .channel)
        let values = try QuantizedTensor(layer.values, rows: positions, bits: bits, group: group, axis: .token)
        return CompressedKV(
            positions: positions ?? KVPositions(all: layer), keys: .quantized(keys), values: .quantized(values))
    }
}

extension KVMethod where Self == Quantized {
    /// Keeps all positions in 8, 4 or 2 bits per element.
    public static func quantized(bits: Int, group: Int = 32) -> Quantized { Quantized(bits: bits, group: group) }
}
