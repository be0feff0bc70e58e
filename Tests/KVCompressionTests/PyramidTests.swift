import KVCompression
import Testing

@Suite struct PyramidTests {
    @Test("budgets never grow from layer to layer, hold the window, and sum to layers times the mean")
    func budgets() throws {
        for layers in [1, 2, 3, 28, 32, 61] {
            for (budget, window) in [(64, 8), (2048, 32), (100, 100), (7, 0), (1000, 1)] {
                for steepness in [1, 2, 20, 1 << 40] {
                    for length in [budget + 1, budget + 5, budget * 3 / 2, 100_000] {
                        let pyramid = Pyramid(layers: layers, budget: budget, window: window, steepness: steepness)
                        let budgets = try (0..<layers).map { try pyramid.budget(layer: $0, sequence: length) }
                        #expect(zip(budgets, budgets.dropFirst()).allSatisfy { $0 >= $1 })
                        #expect(budgets.allSatisfy { window...length ~= $0 })
                        #expect(budgets.reduce(0, +) == layers * budget)
                    }
                }
            }
        }
    }

    @Test("the last layer keeps the mean divided by β beside the window, and the first keeps what balances the mean")
    func paper() throws {
        let pyramid = Pyramid(layers: 32, budget: 2032, window: 32, steepness: 20)
        #expect(try pyramid.budget(layer: 31, sequence: 100_000) == 32 + 100)
        #expect(try pyramid.budget(layer: 0, sequence: 100_000) == 32 + 3900)
    }

    @Test("a layer selects as snap does with its budget")
    func likeSnap() throws {
        let random = try RandomLayer(KVShape(1, 2, 90, 4), index: 3)
        let pyramid = Pyramid(layers: 5, budget: 30, window: 6, kernel: 5)
        let budget = try pyramid.budget(layer: 3, sequence: 90)
        #expect(budget < 30)
        #expect(
            try pyramid.positions(in: random.layer)
                == Snap(budget: budget, window: 6, kernel: 5).positions(in: random.layer))
    }

    @Test("a layer that the model does not have is a typed error")
    func noSuchLayer() throws {
        let random = try RandomLayer(KVShape(1, 2, 90, 4), index: 5)
        #expect(
            throws: KVError.badParameter(
                method: "Pyramid", name: "layer", value: 5, requirement: "must be between 0 and 4")
        ) {
            try Pyramid(layers: 5, budget: 40).compress(random.layer)
        }
    }
}
