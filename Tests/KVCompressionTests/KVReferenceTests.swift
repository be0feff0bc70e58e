import Foundation
import Testing

@testable import KVCompression

/// The cases of Tests/kv-reference.py.
@Suite(
    .enabled(
        if: KVReference.directory != nil,
        "run Tests/kv-reference.py, and name its directory in WEIGHTSTORE_KV_REFERENCE"))
struct KVReferenceTests {
    @Test("selections are those of the reference, position by position and bit by bit")
    func selections() throws {
        let reference = try KVReference()
        let cases = reference.cases.filter { $0.positions != nil }
        #expect(!cases.isEmpty)
        for one in cases {
            let selector = try #require(one.selector, "\(one.method)")
            let result = try reference.layer(one) { try selector.compress($0) }
            let shape = KVShape(one.keys.shape[0], one.keys.shape[1], one.count!, 0)
            #expect(result.positions.count == shape.rows, "\(one.name)")
            var positions: [Int32] = []
            for head in 0..<shape.batch * shape.heads {
                positions += result.positions[head / shape.heads, head % shape.heads]
            }
            #expect(positions == reference.array(one.positions!), "\(one.name)")
            #expect(result.keys.tensor().withBytes { Array($0) } == reference.array(one.keptKeys!), "\(one.name)")
            #expect(result.values.tensor().withBytes { Array($0) } == reference.array(one.keptValues!), "\(one.name)")
        }
    }

    /// Zero points are equal. Scales are equal but for one unit of the element, where float32 and float64 round their
    /// division differently: occasionally for a float32 scale, rarely for a scale that is rounded up to a shorter type.
    /// A code lies within 0.5 + 0.002 of the exact step: only near ties may it be another. A value that is dequantised
    /// from an equal scale and code is within one unit of the element at its group's greatest magnitude, two of
    /// float32.
    @Test("scales, zero points, codes and dequantised elements are those of the reference, within float32's rounding")
    func quantizations() throws {
        let reference = try KVReference()
        let cases = reference.cases.filter { $0.quantizedKeys != nil }
        #expect(!cases.isEmpty)
        var (scales, otherScales) = (0, 0)
        for one in cases {
            let quantized = Quantized(bits: one.parameters["bits"]!.number, group: one.parameters["group"]!.number)
            let result = try reference.layer(one) { layer in
                guard one.method == "sinksQuantized" else { return try quantized.compress(layer) }
                let sinks = Sinks(first: one.parameters["first"]!.number, last: one.parameters["last"]!.number)
                return try sinks.then(quantized).compress(layer)
            }
            for (part, expected) in [(result.keys, one.quantizedKeys!), (result.values, one.quantizedValues!)] {
                let counts = compare(try #require(part.quantized), expected, reference, one.name)
                if part.quantized?.layout.element == .float32 { continue }
                scales += counts.all
                otherScales += counts.different
            }
        }
        #expect(otherScales * 1000 <= scales, "\(otherScales) of \(scales) scales differ")
    }

    private func compare(
        _ tensor: QuantizedTensor, _ expected: KVReference.Quantization, _ reference: KVReference, _ name: String
    ) -> (all: Int, different: Int) {
        let layout = tensor.layout
        let count = layout.shape.batch * layout.shape.heads * layout.parametersPerHead
        let (scales, zeros) = tensor.withBytes { bytes in
            func part(_ offset: Int) -> [Float] {
                let own = bytes[offset..<offset + count * layout.element.bytes]
                return Numbers.floats(UnsafeRawBufferPointer(rebasing: own), layout.element)
            }
            return (part(layout.scalesOffset), part(layout.zerosOffset))
        }
        let expectedScales: [Float] = reference.array(expected.scales)
        #expect(zeros == reference.array(expected.zeros), "\(name)")
        #expect(scales.count == expectedScales.count, "\(name)")
        var different = 0
        for (ours, theirs) in zip(scales, expectedScales) where ours != theirs {
            different += 1
            #expect(abs(ours - theirs) <= layout.element.ulp(theirs), "\(name)")
        }

        let steps: [Float] = reference.array(expected.steps)
        let values: [Float] = reference.array(expected.dequantized)
        let ours = tensor.view.dequantized().floats
        #expect(ours.count == values.count, "\(name)")
        var index = 0
        for head in 0..<layout.shape.batch * layout.shape.heads {
            for row in 0..<layout.shape.rows {
                for column in 0..<layout.shape.columns {
                    let parameter =
                        layout.axis == .channel
                        ? row / layout.group * layout.shape.columns + column
                        : row * layout.groups + column / layout.group
                    let number = head * layout.parametersPerHead + parameter
                    if scales[number] == expectedScales[number] {
                        let code = tensor.view.code(
                            batch: head / layout.shape.heads, head: head % layout.shape.heads, row: row, column: column)
                        // `#expect` for each element would take most of the time.
                        if !(abs(Float(code) - steps[index]) <= 0.502) {
                            Issue.record("\(name): element \(index) has code \(code), not \(steps[index])")
                        }
                        let reach = max(abs(zeros[number]), abs(zeros[number] + scales[number] * Float(layout.levels)))
                        let tolerance = layout.element.ulp(reach) * (layout.element == .float32 ? 2 : 1)
                        if Float(code) == steps[index].rounded(.toNearestOrEven),
                            !(abs(ours[index] - values[index]) <= tolerance)
                        {
                            Issue.record("\(name): element \(index) is \(ours[index]), not \(values[index])")
                        }
                    }
                    index += 1
                }
            }
        }
        return (scales.count, different)
    }
}
