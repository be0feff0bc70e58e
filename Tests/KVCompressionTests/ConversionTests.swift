import Testing

@testable import KVCompression

@Suite struct ConversionTests {
    @Test("every float16 becomes the float32 that Swift converts it to")
    func widenHalf() {
        for bits in UInt16.min...UInt16.max {
            let (ours, theirs) = (Widening.value(half: bits), Float(Float16(bitPattern: bits)))
            // `#expect` for each would take most of the time.
            let isSame = ours == theirs && ours.sign == theirs.sign || ours.isNaN && theirs.isNaN
            if !isSame { Issue.record("\(bits): \(ours), not \(theirs)") }
        }
    }

    @Test("a float32 becomes the float16 that Swift converts it to, ties and subnormals too")
    func narrowHalf() {
        var random = Random(state: 3)
        var patterns = (0..<200_000).map { _ in UInt32(truncatingIfNeeded: random.next() as UInt64) }
        for bits in UInt16.min...UInt16.max {
            let exact = Float(Float16(bitPattern: bits)).bitPattern
            patterns += [exact, exact &+ 0x1000, exact &+ 0xFFF, exact &+ 0x1001, exact &- 1]
        }
        for pattern in patterns {
            let value = Float(bitPattern: pattern)
            let (ours, theirs) = (Float16(bitPattern: Narrowing.half(value)), Float16(value))
            let isSame = ours == theirs && ours.sign == theirs.sign || ours.isNaN && theirs.isNaN
            if !isSame { Issue.record("\(value): \(ours), not \(theirs)") }
        }
    }

    @Test("a float32 becomes the nearest bfloat16, of two the even one; infinities and NaN stay")
    func narrowBrain() {
        func narrow(_ bits: UInt32) -> UInt16 { Narrowing.brain(Float(bitPattern: bits)) }
        #expect(narrow(0x3F80_8000) == 0x3F80)
        #expect(narrow(0x3F81_8000) == 0x3F82)
        #expect(narrow(0x3F80_8001) == 0x3F81)
        #expect(narrow(0x7F7F_FFFF) == 0x7F80)
        #expect(narrow(0xFF80_0000) == 0xFF80)
        #expect(Widening.value(brain: narrow(0x7F80_0001)).isNaN)
        for bits in stride(from: UInt32(0), to: 0x1_0000, by: 7) {
            let value = Widening.value(brain: UInt16(bits))
            #expect(value.isNaN || Narrowing.brain(value) == UInt16(bits))
        }
    }
}
