import KVCompression
import Testing

@Suite struct SelectionTests {
    static let selectors = Methods.selectors

    @Test("positions kept are sorted, unique and within range, as many in every head", arguments: 0..<selectors.count)
    func sorted(number: Int) throws {
        for length in [0, 1, 2, 13, 40, 300] {
            let random = try RandomLayer(KVShape(2, 3, length, 8))
            let positions = try Self.selectors[number].positions(in: random.layer)
            for (batch, head) in [(0, 0), (0, 2), (1, 0), (1, 2)] {
                let own = positions[batch, head]
                #expect(own.count == positions.count)
                #expect(zip(own, own.dropFirst()).allSatisfy { $0 < $1 })
                #expect(own.allSatisfy { 0..<length ~= Int($0) })
            }
        }
    }

    @Test("the window and the sinks are always kept")
    func windowStays() throws {
        let random = try RandomLayer(KVShape(2, 3, 50, 8))
        let selectors: [(any KVSelector, Int)] = [
            (.window(last: 9), 9), (.sinks(first: 4, last: 9), 9), (.heavyHitters(heavy: 3, recent: 9), 9),
            (.snap(budget: 12, window: 9), 9), (.pyramid(layers: 2, budget: 20, window: 9), 9),
        ]
        for (selector, window) in selectors {
            let positions = try selector.positions(in: random.layer)
            for head in 0..<3 { #expect(Array(positions[1, head].suffix(window)) == Array(Int32(50 - window)..<50)) }
        }
        #expect(try Sinks(first: 4, last: 2).positions(in: random.layer).first == [0, 1, 2, 3, 48, 49])
    }

    @Test("kept elements are unchanged, bit for bit", arguments: KVElement.allCases)
    func verbatim(element: KVElement) throws {
        let random = try RandomLayer(KVShape(2, 3, 40, 5), element)
        let result = try Snap(budget: 13, window: 5).compress(random.layer)
        var expected: [Float] = []
        for batch in 0..<2 {
            for head in 0..<3 {
                for position in result.positions[batch, head] {
                    let row = ((batch * 3 + head) * 40 + Int(position)) * 5
                    expected += random.keys.values[row..<row + 5]
                }
            }
        }
        #expect(result.keys.floats == expected)
    }

    @Test("a budget above the number of positions keeps all")
    func moreThanThereIs() throws {
        let random = try RandomLayer(KVShape(1, 2, 10, 4))
        let selectors: [any KVSelector] = [
            .window(last: .max), .sinks(first: .max, last: .max), .heavyHitters(heavy: .max, recent: .max),
            .snap(budget: .max, window: 3), .snap(budget: 11, window: 11), .pyramid(layers: 4, budget: 10, window: 3),
        ]
        for selector in selectors {
            let result = try selector.compress(random.layer)
            #expect(result.positions.first == Array(0..<10))
            #expect(result.keys.floats == random.keys.values && result.values.floats == random.values.values)
        }
    }

    @Test("heavy hitters are the positions with the most attention; of equals the earlier")
    func heavy() throws {
        let keys = try Numbers(random: KVShape(1, 1, 8, 2))
        let scores = try Numbers([0, 3, 1, 3, .nan, 3, 9, 9], KVShape(1, 1, 1, 8))
        let layer = try KVLayer(keys: keys.view, values: keys.view, attention: scores.view)
        #expect(try HeavyHitters(heavy: 2, recent: 2).positions(in: layer).first == [1, 3, 6, 7])
        #expect(try HeavyHitters(heavy: 4, recent: 1).positions(in: layer).first == [1, 3, 5, 6, 7])
    }

    @Test("the scores of the query heads that share a head of keys are summed")
    func groupedQueries() throws {
        let keys = try Numbers(random: KVShape(1, 2, 3, 2))
        let scores = try Numbers([5, 0, 0, 0, 4, 4, 0, 0, 1, 0, 2, 0], KVShape(1, 4, 1, 3))
        let layer = try KVLayer(keys: keys.view, values: keys.view, attention: scores.view)
        let positions = try HeavyHitters(heavy: 1, recent: 0).positions(in: layer)
        #expect(Array(positions[0, 0]) == [0] && Array(positions[0, 1]) == [1])
    }

    @Test("snap keeps the neighbours of the positions that its queries attend to")
    func neighbours() throws {
        let keys = try Numbers(random: KVShape(1, 1, 12, 2))
        var scores = [Float](repeating: 0, count: 24)
        scores[4] = 1
        scores[12 + 4] = 1
        let attention = try Numbers(scores, KVShape(1, 1, 2, 12))
        let layer = try KVLayer(keys: keys.view, values: keys.view, attention: attention.view)
        for pooling in [Snap.Pooling.max, .mean] {
            let snap = Snap(budget: 5, window: 2, kernel: 3, pooling: pooling)
            #expect(try snap.positions(in: layer).first == [3, 4, 5, 10, 11])
        }
    }

    @Test("scores that are needed and missing, and parameters out of range, are typed errors")
    func errors() throws {
        let keys = try Numbers(random: KVShape(1, 1, 8, 2))
        let bare = try KVLayer(keys: keys.view, values: keys.view)
        #expect(throws: KVError.attentionMissing(method: "Snap")) { try Snap(budget: 40).compress(bare) }
        #expect(throws: KVError.attentionMissing(method: "HeavyHitters")) {
            try HeavyHitters(heavy: 1, recent: 1).compress(bare)
        }
        let layer = try RandomLayer(KVShape(1, 1, 8, 2)).layer
        let wrong: [any KVMethod] = [
            .window(last: -1), .sinks(first: -1, last: 2), .heavyHitters(heavy: -1, recent: 2),
            .snap(budget: 3, window: 4), .snap(budget: 8, window: 4, kernel: 2), .snap(budget: 8, window: 4, kernel: 0),
            .pyramid(layers: 0, budget: 8, window: 4), .pyramid(layers: 2, budget: 8, window: 4, steepness: 0),
            .quantized(bits: 3), .quantized(bits: 4, group: 0),
        ]
        for method in wrong {
            #expect { try method.compress(layer) } throws: {
                if case .badParameter = $0 as? KVError { true } else { false }
            }
        }
    }
}
