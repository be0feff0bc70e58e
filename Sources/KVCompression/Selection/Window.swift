/// Keeps the last `last` positions: sliding-window attention.
///
/// Beltagy, Peters, Cohan: "Longformer: The Long-Document Transformer", arXiv:2004.05150, section 3.1.
public struct Window: KVSelector {
    /// Number of most recent positions that are kept.
    public var last: Int

    /// A method with this parameter, which is checked at each use.
    public init(last: Int) { self.last = last }

    /// The kept positions, the same in all heads.
    ///
    /// - Throws: `badParameter` if `last` is negative.
    public func positions(in layer: KVLayer) throws(KVError) -> KVPositions {
        try require("last", last, in: 0...Int.max, "must be 0 or more")
        let length = layer.sequence
        return KVPositions(of: layer, shared: Array(Int32(length - min(last, length))..<Int32(length)))
    }
}

extension KVMethod where Self == Window {
    /// Keeps the last `last` positions.
    public static func window(last: Int) -> Window { Window(last: last) }
}
