/// Keeps the last `last` positions: sliding-window attention.
///
/// Beltagy, Peters, Cohan: "Longformer: The Long-Document Transformer", arXiv:2004.05150, section 3.1.
public struct Window: KVSelector {
    public var last: Int

    public init(last: Int) { self.last = last }

    /// - Throws: `badParameter` if `last` is negative.
    public func positions(in layer: KVLayer) throws(KVError) -> KVPositions {
        try require("last", last, in: 0...Int.max, "it counts positions, 0 or more")
        let length = layer.sequence
        return KVPositions(of: layer, shared: Array(Int32(length - min(last, length))..<Int32(length)))
    }
}

extension KVMethod where Self == Window {
    /// Keeps the last `last` positions.
    public static func window(last: Int) -> Window { Window(last: last) }
}
