/// Keeps the first `first` and the last `last` positions: attention sinks and a window.
///
/// Xiao, Tian, Chen, Han, Lewis: "Efficient Streaming Language Models with Attention Sinks" (StreamingLLM),
/// arXiv:2309.17453. Four sinks are enough in the paper, which gives kept keys the positions 0, 1, 2 … in the cache,
/// not those of the text; see `KVPositions`.
public struct Sinks: KVSelector {
    /// Number of first positions that are kept.
    public var first: Int
    /// Number of most recent positions that are kept.
    public var last: Int

    /// A method with these parameters, which are checked at each use.
    public init(first: Int = 4, last: Int) {
        self.first = first
        self.last = last
    }

    /// The kept positions, the same in all heads.
    ///
    /// - Throws: `badParameter` if a number is negative.
    public func positions(in layer: KVLayer) throws(KVError) -> KVPositions {
        try require("first", first, in: 0...Int.max, "must be 0 or more")
        try require("last", last, in: 0...Int.max, "must be 0 or more")
        let length = layer.sequence
        let sinks = min(first, length)
        let recent = max(length - min(last, length), sinks)
        return KVPositions(of: layer, shared: Array(0..<Int32(sinks)) + Array(Int32(recent)..<Int32(length)))
    }
}

extension KVMethod where Self == Sinks {
    /// Keeps the first `first` and the last `last` positions.
    public static func sinks(first: Int = 4, last: Int) -> Sinks { Sinks(first: first, last: last) }
}
