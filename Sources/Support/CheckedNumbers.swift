/// Numbers from outside: parsed from ASCII digits alone, and calculated without overflow.
extension Int {
    /// Parses one or more ASCII decimal digits; nil for a sign, for any other text, and for a number that does not fit.
    package init?(decimal text: some StringProtocol) { self.init(decimal: text.utf8) }

    /// As `init(decimal:)` of a text.
    package init?(decimal bytes: some Collection<UInt8>) {
        guard !bytes.isEmpty else { return nil }
        var number = 0
        for byte in bytes {
            guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte else { return nil }
            let (tens, overflow) = number.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
            guard !overflow, !carry else { return nil }
            number = sum
        }
        self = number
    }

    /// The integer nearest to zero from `value`; `Int.min` or `Int.max` beyond these, and 0 for NaN.
    package init(saturating value: Double) {
        self = Int(exactly: value.rounded(.towardZero)) ?? (value.isNaN ? 0 : value < 0 ? .min : .max)
    }
}

extension FixedWidthInteger {
    /// The sum, or the nearest value that fits.
    package func adding(saturating other: Self) -> Self {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }

    /// Adds a number; the result is the nearest value that fits.
    package mutating func add(saturating other: Self) { self = adding(saturating: other) }

    /// The difference, or the nearest value that fits.
    package func subtracting(saturating other: Self) -> Self {
        let (difference, overflow) = subtractingReportingOverflow(other)
        return overflow ? (other < 0 ? .max : .min) : difference
    }

    /// The product, or the nearest value that fits.
    package func multiplied(saturating other: Self) -> Self {
        let (product, overflow) = multipliedReportingOverflow(by: other)
        return overflow ? ((self < 0) == (other < 0) ? .max : .min) : product
    }
}

extension Sequence {
    /// The sum of a number of each element, or the nearest value that fits.
    package func saturatingSum(_ number: (Element) throws -> Int) rethrows -> Int {
        try reduce(0) { $0.adding(saturating: try number($1)) }
    }
}
