/// Parses sizes, durations, shares and ranges that a user types. Only ASCII is accepted.
extension Quantity {
    /// A size in bytes: `50G` is decimal, as disks and hubs count; `50GiB` is binary.
    ///
    /// - Returns: nil for any other text, and for a size beyond `Int.max`.
    package static func parseBytes(_ text: String) -> Int? {
        let number = text.utf8.prefix { isDigit($0) || $0 == UInt8(ascii: ".") }
        // No lower-casing of Unicode: the Kelvin sign would become a k.
        var unit = text.utf8.dropFirst(number.count).map {
            UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 ? $0 | 0x20 : $0
        }
        if unit.last == UInt8(ascii: "b") { unit.removeLast() }
        let isBinary = unit.last == UInt8(ascii: "i")
        if isBinary { unit.removeLast() }
        guard let value = Double(String(decoding: number, as: UTF8.self)),
            let power = ["", "k", "m", "g", "t", "p"].firstIndex(where: { $0.utf8.elementsEqual(unit) }),
            !isBinary || power > 0
        else { return nil }
        let factor = (0..<power).reduce(1.0) { product, _ in product * (isBinary ? 1024 : 1000) }
        return Int(exactly: (value * factor).rounded())
    }

    /// The longest duration that is accepted, in days: its nanoseconds fit an `Int`.
    package static let mostDays = 99_999

    /// A duration in seconds: `90s`, `15m`, `12h`, `30d`, `2w`, or `0`.
    ///
    /// - Returns: nil for any other text, and for more than `mostDays`.
    package static func parseSeconds(_ text: String) -> Int? {
        if text.utf8.elementsEqual("0".utf8) { return 0 }
        guard let unit = text.utf8.last.flatMap({ secondsByUnit[$0] }), let value = Int(decimal: text.utf8.dropLast())
        else { return nil }
        let seconds = value.multiplied(saturating: unit)
        return seconds <= mostDays * 86_400 ? seconds : nil
    }

    private static let secondsByUnit: [UInt8: Int] = [
        UInt8(ascii: "s"): 1, UInt8(ascii: "m"): 60, UInt8(ascii: "h"): 3600, UInt8(ascii: "d"): 86_400,
        UInt8(ascii: "w"): 604_800,
    ]

    /// A share of the whole, above 0 and at most 1: `5%` or `0.05`.
    package static func parseShare(_ text: String) -> Double? {
        let number = text.dropping(byteSuffix: "%")
        let digits = number ?? text
        guard digits.utf8.allSatisfy({ isDigit($0) || $0 == UInt8(ascii: ".") }), let value = Double(digits) else {
            return nil
        }
        let fraction = number == nil ? value : value / 100
        return fraction > 0 && fraction <= 1 ? fraction : nil
    }

    /// A number, or two in ascending order: `3`, `0-11`.
    package static func parseRange(_ text: String) -> ClosedRange<Int>? {
        let ends = text.byteParts("-").map { Int(decimal: $0) }
        guard 1...2 ~= ends.count, let first = ends[0], let last = ends[ends.count - 1], first <= last else {
            return nil
        }
        return first...last
    }

    private static func isDigit(_ byte: UInt8) -> Bool { UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte }
}
