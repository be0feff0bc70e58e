/// Keeps the last `recent` positions, and of those before them the `heavy` with the most attention so far, in each head
/// separately.
///
/// Zhang, Sheng, Zhou, Chen, Zheng, Cai, Song, Tian, Ré, Barrett, Wang, Chen: "H2O: Heavy-Hitter Oracle for Efficient
/// Generative Inference of Large Language Models", arXiv:2306.14048. The paper accumulates scores over all queries;
/// the engine may pass the scores of each query, or one row with their sum. `Ranking` defines how scores are compared.
public struct HeavyHitters: KVSelector {
    /// Number of older positions that are kept because their attention scores are the highest.
    public var heavy: Int
    /// Number of most recent positions that are kept.
    public var recent: Int

    /// A method with these parameters, which are checked at each use.
    public init(heavy: Int, recent: Int) {
        self.heavy = heavy
        self.recent = recent
    }

    /// The kept positions, different for each head.
    ///
    /// - Throws: `attentionMissing`; `badParameter` if a number is negative.
    public func positions(in layer: KVLayer) throws(KVError) -> KVPositions {
        try require("heavy", heavy, in: 0...Int.max, "must be 0 or more")
        try require("recent", recent, in: 0...Int.max, "must be 0 or more")
        guard let attention = layer.attention else { throw .attentionMissing(method: "HeavyHitters") }
        return Ranking(best: heavy, recent: recent).positions(in: layer, attention)
    }
}

extension KVMethod where Self == HeavyHitters {
    /// Keeps the last `recent` positions, and the `heavy` before them with the most attention.
    public static func heavyHitters(heavy: Int, recent: Int) -> HeavyHitters {
        HeavyHitters(heavy: heavy, recent: recent)
    }
}
