import Support
import Testing

/// Numbers from outside neither trap nor change their value.
struct CheckedNumberTests {
    @Test(
        "a number is ASCII digits that fit",
        arguments: [
            ("0", 0), ("007", 7), ("9223372036854775807", Int.max), ("9223372036854775808", nil), ("", nil),
            ("-1", nil),
            ("+1", nil), (" 1", nil), ("1 ", nil), ("1e3", nil), ("0x10", nil), ("\u{FF11}\u{FF12}", nil),
            ("\u{661}", nil), ("\u{B2}", nil), ("1\u{301}", nil), (String(repeating: "9", count: 400), nil),
        ] as [(String, Int?)])
    func decimal(text: String, number: Int?) {
        #expect(Int(decimal: text) == number)
        #expect(Int(decimal: Array(text.utf8)) == number)
    }

    @Test(
        "a number with a fraction becomes the nearest integer that fits",
        arguments: [
            (1.9, 1), (-1.9, -1), (.infinity, .max), (-.infinity, .min), (.nan, 0), (1e300, .max),
            (9.223372036854775807e18, .max), (-1e300, .min),
        ] as [(Double, Int)])
    func saturating(value: Double, number: Int) {
        #expect(Int(saturating: value) == number)
    }

    @Test("sums, differences and products end at the limits")
    func limits() {
        #expect(Int.max.adding(saturating: 1) == .max)
        #expect(Int.min.adding(saturating: -1) == .min)
        #expect(0.subtracting(saturating: Int.min) == .max)
        #expect((-2).subtracting(saturating: Int.max) == .min)
        #expect(Int64.max.multiplied(saturating: 2) == .max)
        #expect(Int64.max.multiplied(saturating: -2) == .min)
        #expect(Int64.min.multiplied(saturating: -1) == .max)
        #expect([Int.max, Int.max, 1].saturatingSum(\.self) == .max)
    }

    @Test("random sums and products are exact, or at a limit")
    func random() {
        for _ in 0..<10_000 {
            let (left, right) = (Int32.random(in: .min ... .max), Int32.random(in: .min ... .max))
            let (sum, product) = (Int64(left) + Int64(right), Int64(left) * Int64(right))
            #expect(Int64(left.adding(saturating: right)) == min(max(sum, Int64(Int32.min)), Int64(Int32.max)))
            #expect(
                Int64(left.multiplied(saturating: right)) == min(max(product, Int64(Int32.min)), Int64(Int32.max)))
        }
    }
}
