/// A way to make the keys and values of a layer smaller.
///
///     let layer = try KVLayer(keys: keys, values: values, attention: scores, index: 7)
///     let kept = try Snap(budget: 1024, window: 32).compress(layer)
///     let small = try Sinks(first: 4, last: 1020).then(.quantized(bits: 4)).compress(layer)
///
/// A method is a value, and may be used from many threads at once; it uses all processors itself. Parameters are
/// checked when it is used.
public protocol KVMethod: Sendable {
    /// What is left of `layer`.
    func compress(_ layer: KVLayer) throws(KVError) -> CompressedKV
}

/// A method that keeps some positions as they are, bit for bit, and forgets the others.
///
/// What always holds: the kept positions of a head are sorted and unique, every head keeps as many as the others, and
/// asking for more than there are keeps all.
public protocol KVSelector: KVMethod {
    /// The positions of `layer` that stay.
    func positions(in layer: KVLayer) throws(KVError) -> KVPositions
}

extension KVSelector {
    public func compress(_ layer: KVLayer) throws(KVError) -> CompressedKV {
        let positions = try positions(in: layer)
        return CompressedKV(
            positions: positions,
            keys: .plain(layer.keys.gathered(positions)),
            values: .plain(layer.values.gathered(positions)))
    }

    /// First select, then quantise what was selected; no copy is made between the two.
    public func then(_ quantized: Quantized) -> SelectedThenQuantized<Self> {
        SelectedThenQuantized(selector: self, quantized: quantized)
    }
}

/// A selection whose kept keys and values are quantised.
public struct SelectedThenQuantized<Selector: KVSelector>: KVMethod {
    public let selector: Selector
    public let quantized: Quantized

    public func compress(_ layer: KVLayer) throws(KVError) -> CompressedKV {
        try quantized.compress(layer, keeping: selector.positions(in: layer))
    }
}

extension KVMethod {
    /// Throws unless `value` is within `range`.
    public func require(_ name: String, _ value: Int, in range: ClosedRange<Int>, _ need: String) throws(KVError) {
        guard range.contains(value) else {
            throw .badParameter(method: String(describing: Self.self), name: name, value: value, need: need)
        }
    }
}
