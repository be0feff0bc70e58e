/// `Snap` with a budget that decreases from the first layer to the last.
///
/// Cai, Zhang, Gao, Liu, Li, Liu, Lu, Xiong, Dong, Hu, Xiao: "PyramidKV: Dynamic KV Cache Compression based on
/// Pyramidal Information Funneling", arXiv:2406.02069. In addition to the window, the last layer keeps 1 / `steepness`
/// of the mean, the first layer twice the mean less that number, and the layers in between are interpolated linearly.
///
/// Invariants: no layer keeps more than the one before it, and all layers together keep `layers * budget` positions, or
/// all positions.
public struct Pyramid: KVSelector {
    /// Number of layers of the model.
    public var layers: Int
    /// Mean number of positions kept in a layer, including the window.
    public var budget: Int
    /// Number of most recent positions that are kept.
    public var window: Int
    /// Number of positions that are pooled, odd; 1 disables pooling.
    public var kernel: Int
    /// How scores are pooled, as in ``Snap``.
    public var pooling: Snap.Pooling
    /// The paper's β: the mean divided by the number of positions that the last layer keeps besides the window.
    public var steepness: Int

    /// A method with these parameters, which are checked at each use.
    public init(
        layers: Int, budget: Int, window: Int = 32, kernel: Int = 7, pooling: Snap.Pooling = .max, steepness: Int = 20
    ) {
        self.layers = layers
        self.budget = budget
        self.window = window
        self.kernel = kernel
        self.pooling = pooling
        self.steepness = steepness
    }

    /// The kept positions, different for each head.
    ///
    /// - Throws: like `Snap`; `badParameter` also if the layer's index is not less than `layers`, or `steepness` is not
    ///   positive.
    public func positions(in layer: KVLayer) throws(KVError) -> KVPositions {
        let budget = try budget(layer: layer.index, sequence: layer.sequence)
        return try Snap(budget: budget, window: window, kernel: kernel, pooling: pooling).positions(in: layer)
    }

    /// The number of positions, out of `sequence`, that the layer number `layer` keeps.
    ///
    /// If the first layers have too few positions for their share, the last layers keep the rest, as in the authors'
    /// program. The second half of the layers mirrors the first about the mean, so that rounding does not change the
    /// sum.
    ///
    /// - Throws: `badParameter`.
    public func budget(layer: Int, sequence: Int) throws(KVError) -> Int {
        try require("layers", layers, in: 1...Int(Int32.max), "must be between 1 and \(Int32.max)")
        try require("layer", layer, in: 0...(layers - 1), "must be between 0 and \(layers - 1)")
        try require("window", window, in: 0...Int.max, "must be 0 or more")
        try require("budget", budget, in: window...Int.max, "must be \(window) or more: it includes the window")
        try require("sequence", sequence, in: 0...Int(Int32.max), "must be between 0 and \(Int32.max)")
        try require("steepness", steepness, in: 1...Int.max, "must be 1 or more")
        if budget >= sequence { return budget }
        let mean = budget - window
        let first = min(2 * mean - mean / steepness, sequence - window)
        let mirrored = layer > (layers - 1) / 2
        let place = mirrored ? layers - 1 - layer : layer
        // From `first` to the mirrored 2 * mean - first in layers - 1 steps; the first half of them leads to the mean.
        let above = layers == 1 ? 0 : (first - mean) * (layers - 1 - 2 * place) / (layers - 1)
        return window + mean + (mirrored ? -above : above)
    }
}

extension KVMethod where Self == Pyramid {
    /// `snap` with a budget that decreases from layer to layer; `budget` is its mean.
    public static func pyramid(
        layers: Int, budget: Int, window: Int = 32, kernel: Int = 7, pooling: Snap.Pooling = .max, steepness: Int = 20
    ) -> Pyramid {
        Pyramid(layers: layers, budget: budget, window: window, kernel: kernel, pooling: pooling, steepness: steepness)
    }
}
