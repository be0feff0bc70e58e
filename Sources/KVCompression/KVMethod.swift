/// A method that compresses the keys and values of a layer.
///
///     let layer = try KVLayer(keys: keys, values: values, attention: scores, index: 7)
///     let kept = try Snap(budget: 1024, window: 32).compress(layer)
///     let small = try Sinks(first: 4, last: 1020).then(.quantized(bits: 4)).compress(layer)
///
/// A method is a value, and may be used on many threads at once; it uses all processors itself. Its parameters are
/// checked at each use.
public protocol KVMethod: Sendable {
    /// Compresses `layer`.
    ///
    /// - Throws: ``KVError`` for a parameter out of range, or if the layer lacks the attention scores that are needed.
    func compress(_ layer: KVLayer) throws(KVError) -> CompressedKV
}

/// A method that keeps some positions unchanged, bit for bit, and drops the others.
///
/// Invariants: the kept positions of a head are sorted and unique, every head keeps the same number, and a request for
/// more positions than the layer has keeps all.
public protocol KVSelector: KVMethod {
    /// The positions of `layer` to keep.
    func positions(in layer: KVLayer) throws(KVError) -> KVPositions
}

extension KVSelector {
    /// Keeps the selected positions.
    public func compress(_ layer: KVLayer) throws(KVError) -> CompressedKV {
        let positions = try positions(in: layer)
        return CompressedKV(
            positions: positions,
            keys: .plain(layer.keys.gathered(positions)),
            values: .plain(layer.values.gathered(positions)))
    }

    /// Selects first, then quantises the selected positions, without a copy in between.
    public func then(_ quantized: Quantized) -> SelectedThenQuantized<Self> {
        SelectedThenQuantized(selector: self, quantized: quantized)
    }
}

/// A selection whose kept keys and values are quantised.
public struct SelectedThenQuantized<Selector: KVSelector>: KVMethod {
    /// Selects the positions.
    public let selector: Selector
    /// Quantises them.
    public let quantized: Quantized

    /// Quantises the selected positions.
    public func compress(_ layer: KVLayer) throws(KVError) -> CompressedKV {
        try quantized.compress(layer, keeping: selector.positions(in: layer))
    }
}

extension KVMethod {
    /// Checks a parameter.
    ///
    /// - Parameter requirement: states the range in the error, such as "must be 1 or more".
    /// - Throws: `badParameter` unless `value` is within `range`.
    public func require(_ name: String, _ value: Int, in range: ClosedRange<Int>, _ requirement: String) throws(KVError)
    {
        guard range.contains(value) else {
            throw .badParameter(
                method: String(describing: Self.self), name: name, value: value, requirement: requirement)
        }
    }
}
