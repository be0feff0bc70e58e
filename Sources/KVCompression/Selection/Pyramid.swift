/// `Snap` with a budget that shrinks from the first layer to the last.
///
/// Cai, Zhang, Gao, Liu, Li, Liu, Lu, Xiong, Dong, Hu, Xiao: "PyramidKV: Dynamic KV Cache Compression based on
/// Pyramidal Information Funneling", arXiv:2406.02069. Beside the window, the last layer keeps the `steepness`-th part
/// of the mean, the first what makes the mean right, and those between lie on a line.
///
/// What always holds: no layer keeps more than the one before it, and all layers together keep `layers * budget`
/// positions, or all there are.
public struct Pyramid: KVSelector {
    public var layers: Int
    /// Mean of the positions kept in a layer, those of the window among them.
    public var budget: Int
    public var window: Int
    public var kernel: Int
    public var pooling: Snap.Pooling
    /// The paper's β.
    public var steepness: Int

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

    /// - Throws: as `Snap`, and `badParameter` if the layer's index is not below `layers`, or `steepness` not positive.
    public func positions(in layer: KVLayer) throws(KVError) -> KVPositions {
        let budget = try budget(layer: layer.index, sequence: layer.sequence)
        return try Snap(budget: budget, window: window, kernel: kernel, pooling: pooling).positions(in: layer)
    }

    /// How many of `sequence` positions the layer number `layer` keeps.
    ///
    /// A first layer that can't keep its share leaves it to the last ones, as in the authors' program. The second half
    /// of the line mirrors the first, so that rounding doesn't change the sum.
    public func budget(layer: Int, sequence: Int) throws(KVError) -> Int {
        try require("layers", layers, in: 1...Int(Int32.max), "a model has at least one")
        try require("layer", layer, in: 0...(layers - 1), "the model has \(layers)")
        try require("window", window, in: 0...Int.max, "it counts positions, 0 or more")
        try require("budget", budget, in: window...Int.max, "the window of \(window) is part of it")
        try require("sequence", sequence, in: 0...Int(Int32.max), "a position is an Int32")
        try require("steepness", steepness, in: 1...Int.max, "it divides the mean")
        if budget >= sequence { return budget }
        let mean = budget - window
        let first = min(2 * mean - mean / steepness, sequence - window)
        let mirrored = layer > (layers - 1) / 2
        let place = mirrored ? layers - 1 - layer : layer
        // From `first` to the mirror's 2 * mean - first, over layers - 1 steps; half of them fall to the mean.
        let above = layers == 1 ? 0 : (first - mean) * (layers - 1 - 2 * place) / (layers - 1)
        return window + mean + (mirrored ? -above : above)
    }
}

extension KVMethod where Self == Pyramid {
    /// `snap` with a budget that shrinks from layer to layer; `budget` is its mean.
    public static func pyramid(
        layers: Int, budget: Int, window: Int = 32, kernel: Int = 7, pooling: Snap.Pooling = .max, steepness: Int = 20
    ) -> Pyramid {
        Pyramid(layers: layers, budget: budget, window: window, kernel: kernel, pooling: pooling, steepness: steepness)
    }
}
