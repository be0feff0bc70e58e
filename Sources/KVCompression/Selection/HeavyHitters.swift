/// Keeps the last `recent` positions, and of those before them the `heavy` that got the most attention so far; each
/// head has its own.
///
/// Zhang, Sheng, Zhou, Chen, Zheng, Cai, Song, Tian, Ré, Barrett, Wang, Chen: "H2O: Heavy-Hitter Oracle for Efficient
/// Generative Inference of Large Language Models", arXiv:2306.14048. The paper accumulates scores over all queries;
/// the engine may give the scores of each query, or one row with their sum. `Ranking` says how scores are compared.
public struct HeavyHitters: KVSelector {
    public var heavy: Int
    public var recent: Int

    public init(heavy: Int, recent: Int) {
        self.heavy = heavy
        self.recent = recent
    }

    /// - Throws: `attentionMissing`, `badParameter` if a count is negative.
    public func positions(in layer: KVLayer) throws(KVError) -> KVPositions {
        try require("heavy", heavy, in: 0...Int.max, "it counts positions, 0 or more")
        try require("recent", recent, in: 0...Int.max, "it counts positions, 0 or more")
        guard let attention = layer.attention else { throw .attentionMissing(method: "HeavyHitters") }
        return Ranking(best: heavy, recent: recent).positions(in: layer, attention)
    }
}

extension KVMethod where Self == HeavyHitters {
    /// Keeps the last `recent` positions, and the `heavy` before them that got the most attention.
    public static func heavyHitters(heavy: Int, recent: Int) -> HeavyHitters {
        HeavyHitters(heavy: heavy, recent: recent)
    }
}
