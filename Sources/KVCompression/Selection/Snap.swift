/// Keeps `budget` positions in each head: the last `window`, and of those before them the ones to which the queries of
/// an observation window at the end of the prompt attend, together with their neighbours.
///
/// Li, Huang, Yang, Venkitesh, Locatelli, Ye, Cai, Lewis, Chen: "SnapKV: LLM Knows What You are Looking for Before
/// Generation", arXiv:2404.14469. The engine passes the scores of the observation window's queries; they are summed
/// over the queries and pooled over `kernel` neighbouring positions, and the greatest are selected. `Ranking` defines
/// the order.
public struct Snap: KVSelector {
    /// How the scores of neighbours are combined.
    public enum Pooling: Sendable {
        /// Their mean; scores beyond the ends are 0.
        case mean
        /// Their maximum.
        case max
    }

    /// Number of positions kept, including the window.
    public var budget: Int
    /// Number of most recent positions that are kept.
    public var window: Int
    /// Number of positions that are pooled, odd; 1 disables pooling.
    public var kernel: Int
    /// How scores are pooled.
    public var pooling: Pooling

    /// A method with these parameters, which are checked at each use.
    public init(budget: Int, window: Int = 32, kernel: Int = 7, pooling: Pooling = .max) {
        self.budget = budget
        self.window = window
        self.kernel = kernel
        self.pooling = pooling
    }

    /// The kept positions, different for each head.
    ///
    /// - Throws: `attentionMissing`; `badParameter` if `window` is negative or more than `budget`, or `kernel` is even.
    public func positions(in layer: KVLayer) throws(KVError) -> KVPositions {
        try require("window", window, in: 0...Int.max, "must be 0 or more")
        try require("budget", budget, in: window...Int.max, "must be \(window) or more: it includes the window")
        guard kernel > 0 && kernel % 2 == 1 else {
            throw .badParameter(method: "Snap", name: "kernel", value: kernel, requirement: "must be odd and positive")
        }
        guard let attention = layer.attention else { throw .attentionMissing(method: "Snap") }
        return Ranking(best: budget - window, recent: window, kernel: kernel, pooling: pooling)
            .positions(in: layer, attention)
    }
}

extension KVMethod where Self == Snap {
    /// Keeps `budget` positions: the last `window`, and the ones to which its queries attend.
    public static func snap(budget: Int, window: Int = 32, kernel: Int = 7, pooling: Snap.Pooling = .max) -> Snap {
        Snap(budget: budget, window: window, kernel: kernel, pooling: pooling)
    }
}
