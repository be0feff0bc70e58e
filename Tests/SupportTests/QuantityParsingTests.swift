import Support
import Testing

/// Sizes, durations, shares and ranges that a user types.
struct QuantityParsingTests {
    @Test(
        "sizes",
        arguments: [
            ("0", 0), ("50G", 50_000_000_000), ("50GiB", 50 << 30), ("1.5k", 1500), ("64Mi", 64 << 20), ("1b", 1),
            ("5000P", 5_000_000_000_000_000_000), ("9223P", 9_223_000_000_000_000_000), ("9224P", nil), ("", nil),
            ("G", nil), ("-1G", nil), ("1.2.3", nil), ("1ib", nil), ("\u{FF11}G", nil), ("5\u{212A}", nil),
            ("1e3", nil),
            ("nan", nil), ("inf", nil), ("1 G", nil), (String(repeating: "9", count: 400), nil),
        ] as [(String, Int?)])
    func sizes(text: String, bytes: Int?) { #expect(Quantity.parseBytes(text) == bytes) }

    @Test(
        "durations",
        arguments: [
            ("0", 0), ("90s", 90), ("15m", 900), ("12h", 43_200), ("2w", 1_209_600), ("99999d", 99_999 * 86_400),
            ("100000d", nil), ("9223372036854775807s", nil), ("9223372036854775807w", nil), ("-1s", nil), ("+1s", nil),
            ("s", nil), ("", nil), ("1", nil), ("\u{FF11}s", nil), ("1s\u{301}", nil),
        ] as [(String, Int?)])
    func durations(text: String, seconds: Int?) { #expect(Quantity.parseSeconds(text) == seconds) }

    @Test(
        "shares",
        arguments: [
            ("5%", 0.05), ("0.5", 0.5), ("100%", 1), ("0", nil), ("101%", nil), ("-5%", nil), ("nan", nil),
            ("inf%", nil),
            ("%", nil), ("", nil), ("0x1p-1", nil),
        ] as [(String, Double?)])
    func shares(text: String, share: Double?) { #expect(Quantity.parseShare(text) == share) }

    @Test("a percentage is written as it is typed, without a space")
    func percentages() {
        for percent in 1...100 {
            let text = Quantity.percent(Double(percent) / 100)
            #expect(text == "\(percent)%" && Quantity.parseShare(text) == Double(percent) / 100)
        }
        #expect(
            Quantity.percent(0) == "0%" && Quantity.percent(0.082) == "8.2%" && Quantity.percent(0.00001) == "< 0.01%")
        #expect(Quantity.percent(0.995, decimals: 1) == "99.5%" && Quantity.percent(1, decimals: 2) == "100.00%")
        #expect(Quantity.percent(.nan) == "–%")
    }

    @Test(
        "ranges",
        arguments: [
            ("3", 3...3), ("0-11", 0...11), ("0-9223372036854775807", 0...Int.max), ("5-3", nil), ("-", nil), ("", nil),
            ("-3", nil), ("1-2-3", nil), ("0-9223372036854775808", nil), ("\u{FF11}", nil), ("1-\u{301}2", nil),
        ] as [(String, ClosedRange<Int>?)])
    func ranges(text: String, range: ClosedRange<Int>?) { #expect(Quantity.parseRange(text) == range) }

    @Test("random texts never trap, and what is accepted is within the limits")
    func random() {
        let pieces = [
            "0", "9", ".", "-", "%", "k", "K", "G", "P", "i", "b", "s", "d", "w", "\u{FF11}", "\u{301}", "\u{0}",
        ]
        for _ in 0..<20_000 {
            let text = (0..<Int.random(in: 0...12)).map { _ in pieces.randomElement() ?? "" }.joined()
            if let bytes = Quantity.parseBytes(text) { #expect(bytes >= 0) }
            if let seconds = Quantity.parseSeconds(text) { #expect(0...99_999 * 86_400 ~= seconds) }
            if let share = Quantity.parseShare(text) { #expect(share > 0 && share <= 1) }
            if let range = Quantity.parseRange(text) { #expect(range.lowerBound >= 0) }
        }
    }
}
