import Testing

@testable import KVCompression

@Suite struct QuantizationTests {
    @Test(
        "the error of an element is at most half the scale of its group, and the rounding of the element",
        arguments: KVElement.allCases, [8, 4, 2])
    func bound(element: KVElement, bits: Int) throws {
        for (shape, group) in [(KVShape(2, 2, 70, 33), 32), (KVShape(1, 3, 9, 16), 5), (KVShape(1, 1, 64, 1), 1000)] {
            for axis in [QuantizedLayout.Axis.channel, .token] {
                for factor: Float in [1, 0x1p-20, 0x1p-140, 0x1.8p13, 0x1p124]
                where element != .float16 || factor < 0x1p14 {
                    let numbers = try Numbers(
                        Numbers(random: shape, element).values.map { $0 * factor }, shape, element)
                    let quantized = try QuantizedTensor(numbers.view, bits: bits, group: group, axis: axis)
                    check(quantized, numbers)
                }
            }
        }
    }

    private func check(_ quantized: QuantizedTensor, _ numbers: Numbers) {
        let (view, shape) = (quantized.view, quantized.layout.shape)
        let result = view.dequantized().floats
        var index = 0
        for batch in 0..<shape.batch {
            for head in 0..<shape.heads {
                for row in 0..<shape.rows {
                    for column in 0..<shape.columns {
                        let (scale, zero) = view.parameters(batch: batch, head: head, row: row, column: column)
                        let reach = max(abs(zero), abs(zero + scale * Float(quantized.layout.levels)))
                        let rounding =
                            quantized.layout.element.ulp(reach) * (quantized.layout.element == .float32 ? 8 : 1)
                        let bound = scale / 2 + rounding
                        // Of a million elements: `#expect` for each would take most of the time.
                        let error = abs(result[index] - numbers.values[index])
                        if !(error <= bound) { Issue.record("element \(index): \(error), at most \(bound)") }
                        index += 1
                    }
                }
            }
        }
    }

    @Test("a group of equal elements, and a group of one, have no error", arguments: KVElement.allCases, [8, 4, 2])
    func exact(element: KVElement, bits: Int) throws {
        let shape = KVShape(1, 2, 11, 7)
        let equal = try Numbers([Float](repeating: -3.25, count: shape.count), shape, element)
        let random = try Numbers(random: shape, element)
        for axis in [QuantizedLayout.Axis.channel, .token] {
            #expect(
                try QuantizedTensor(equal.view, bits: bits, group: 4, axis: axis).view.dequantized().floats
                    == equal.values)
            #expect(
                try QuantizedTensor(random.view, bits: bits, group: 1, axis: axis).view.dequantized().floats
                    == random.values)
        }
    }

    @Test("a group whose range is too small for a scale keeps its bound", arguments: [8, 4, 2])
    func subnormal(bits: Int) throws {
        let numbers = try Numbers((0..<8).map { Float($0) * .leastNonzeroMagnitude }, KVShape(1, 1, 1, 8))
        check(try QuantizedTensor(numbers.view, bits: bits, group: 8, axis: .token), numbers)
        check(try QuantizedTensor(numbers.view, bits: bits, group: 8, axis: .channel), numbers)
    }

    @Test("NaN and infinities have no part in the scale, become an end of their group, and are counted")
    func special() throws {
        let numbers = try Numbers([.nan, 1, .infinity, -1, -.infinity, 3e38, 0.5, 0], KVShape(1, 1, 1, 8))
        let quantized = try QuantizedTensor(numbers.view, bits: 8, group: 8, axis: .token)
        #expect(quantized.saturated == 4)
        let (scale, zero) = quantized.view.parameters(batch: 0, head: 0, row: 0, column: 0)
        #expect(zero == -1 && scale == 2 / 255)
        let result = quantized.view.dequantized().floats
        #expect([result[0], result[3], result[4]] == [-1, -1, -1])
        #expect(abs(result[1] - 1) < 1e-6 && result[2] == result[1] && result[5] == result[1])
        let nothing = try Numbers([.nan, .infinity, -.infinity], KVShape(1, 1, 1, 3))
        #expect(
            try QuantizedTensor(nothing.view, bits: 2, group: 8, axis: .token).view.dequantized().floats == [0, 0, 0])
    }

    @Test("a float16 near its greatest stays finite")
    func greatest() throws {
        let numbers = try Numbers([65504, -65504, 65472, 1], KVShape(1, 1, 1, 4), .float16)
        for bits in [8, 4, 2] {
            let result = try QuantizedTensor(numbers.view, bits: bits, group: 4, axis: .token).view.dequantized().floats
            #expect(result.allSatisfy { $0.isFinite })
            #expect(result[0] == 65504)
        }
    }

    @Test("codes are packed from the lowest bits, scales and zero points follow at multiples of 64 bytes")
    func layout() throws {
        let numbers = try Numbers([0, 1, 2, 3, 3, 2, 1, 0, 0, 3], KVShape(1, 1, 2, 5))
        let quantized = try QuantizedTensor(numbers.view, bits: 2, group: 5, axis: .token)
        let layout = quantized.layout
        #expect((layout.rowBytes, layout.scalesOffset, layout.zerosOffset, layout.byteCount) == (2, 64, 128, 192))
        quantized.withBytes { bytes in
            #expect(Array(bytes[..<4]) == [0b11_10_01_00, 0b11, 0b00_00_01_10, 0b11])
            #expect(bytes.load(fromByteOffset: 64, as: Float.self) == 1)
            #expect(bytes[4..<64].allSatisfy { $0 == 0 } && bytes[136...].allSatisfy { $0 == 0 })
        }
    }

    @Test("stored bytes decode to the same tensor, and other lengths are refused")
    func stored() throws {
        let numbers = try Numbers(random: KVShape(1, 2, 40, 16), .bfloat16)
        let quantized = try QuantizedTensor(numbers.view, bits: 4, group: 32, axis: .channel)
        try quantized.withBytes { bytes throws in
            let again = try QuantizedView(bytes, quantized.layout)
            #expect(again.dequantized().floats == quantized.view.dequantized().floats)
            #expect(throws: KVError.badLength(expected: bytes.count, found: bytes.count - 1)) {
                try QuantizedView(UnsafeRawBufferPointer(rebasing: bytes.dropLast()), quantized.layout)
            }
        }
    }

    @Test("the bytes do not depend on how many threads there are")
    func threads() throws {
        let numbers = try Numbers(random: KVShape(1, 4, 1000, 128), .float16)
        for axis in [QuantizedLayout.Axis.channel, .token] {
            let whole = try QuantizedTensor(numbers.view, bits: 4, group: 32, axis: axis)
            let part = try QuantizedTensor(numbers.view.rows(960..<1000), bits: 4, group: 32, axis: axis)
            let wholeFloats = whole.view.dequantized().floats
            let partFloats = part.view.dequantized().floats
            for head in 0..<4 {
                #expect(
                    wholeFloats[(head * 1000 + 960) * 128..<(head * 1000 + 1000) * 128].elementsEqual(
                        partFloats[head * 40 * 128..<(head + 1) * 40 * 128]))
            }
        }
    }
}
