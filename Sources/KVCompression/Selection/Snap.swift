/// Keeps `budget` positions in each head: the last `window`, and of those before them the ones that the queries of an
/// observation window at the end of the prompt attend to, together with their neighbours.
///
/// Li, Huang, Yang, Venkitesh, Locatelli, Ye, Cai, Lewis, Chen: "SnapKV: LLM Knows What You are Looking for Before
/// Generation", arXiv:2404.14469. The engine gives the scores of the observation window's queries; they are summed
/// over the queries, pooled over `kernel` neighbouring positions, and the greatest win. `Ranking` says how.
public struct Snap: KVSelector {
    /// How the scores of neighbours are put together.
    public enum Pooling: Sendable {
        /// Their mean; beyond the ends the scores are 0.
        case mean
        /// The greatest.
        case max
    }

    /// Positions kept, those of the window among them.
    public var budget: Int
    public var window: Int
    /// Positions that are pooled, an odd number; 1 doesn't pool.
    public var kernel: Int
    public var pooling: Pooling

    public init(budget: Int, window: Int = 32, kernel: Int = 7, pooling: Pooling = .max) {
        self.budget = budget
        self.window = window
        self.kernel = kernel
        self.pooling = pooling
    }

    /// - Throws: `attentionMissing`; `badParameter` if `window` is negative or more than `budget`, or `kernel` is even.
    public func positions(in layer: KVLayer) throws(KVError) -> KVPositions {
        try require("window", window, in: 0...Int.max, "it counts positions, 0 or more")
        try require("budget", budget, in: window...Int.max, "the window of \(window) is part of it")
        guard kernel > 0 && kernel % 2 == 1 else {
            throw .badParameter(method: "Snap", name: "kernel", value: kernel, need: "it is odd and positive")
        }
        guard let attention = layer.attention else { throw .attentionMissing(method: "Snap") }
        return Ranking(best: budget - window, recent: window, kernel: kernel, pooling: pooling)
            .positions(in: layer, attention)
    }
}

extension KVMethod where Self == Snap {
    /// Keeps `budget` positions: the last `window`, and the ones that its queries attend to.
    public static func snap(budget: Int, window: Int = 32, kernel: Int = 7, pooling: Snap.Pooling = .max) -> Snap {
        Snap(budget: budget, window: window, kernel: kernel, pooling: pooling)
    }
}
