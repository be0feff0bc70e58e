/// Keeps all positions in 8, 4 or 2 bits per element: keys per channel, values per token.
///
/// Liu, Yuan, Jin, Zhong, Xu, Braverman, Chen, Hu: "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache",
/// arXiv:2402.02750. A group of `group` elements (positions of one channel of the keys, channels of one position of
/// the values) has a scale and a zero point; an element `x` becomes the code
/// `round((x - zero) / scale)`, and `zero + code * scale` when it is dequantised.
///
/// * The zero point is the least element of the group. The scale is (greatest - least) / (2^bits - 1), rounded up to
///   what the element can hold (float32: to the nearest, and at least 2^-126); so the codes reach the greatest.
/// * The error of a finite element is at most half the scale, and the rounding of the result to the element:
///   `scale / 2 + ulp(greatest magnitude of the group)`; for float32, which is also what is computed in, 8 `ulp`.
/// * An element that is NaN, infinite or beyond ±2^126 has no part in the scale. It becomes the nearest end of its group,
///   NaN the zero point, and all if there is no other in the group. `QuantizedTensor.saturated` counts them.
/// * A group of equal elements has the scale 0 and no error.
///
/// KIVI leaves the most recent positions as they are: give it the others with `KVView.rows`.
public struct Quantized: KVMethod {
    public var bits: Int
    public var group: Int

    public init(bits: Int, group: Int = 32) {
        self.bits = bits
        self.group = group
    }

    /// - Throws: `badParameter` if `bits` is not 8, 4 or 2, or `group` not positive.
    public func compress(_ layer: KVLayer) throws(KVError) -> CompressedKV {
        try compress(layer, keeping: nil)
    }

    /// Quantises the rows at `positions`, or all.
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
