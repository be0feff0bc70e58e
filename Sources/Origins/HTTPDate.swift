import Foundation

/// Dates in the formats of HTTP's headers and S3's XML.
package enum HTTPDate {
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// Parses `Tue, 24 Nov 2026 09:55:26 GMT` (RFC 9110), or `2026-11-24T09:55:26.644Z`.
    ///
    /// - Returns: nil for any other format.
    package static func parse(_ text: String) -> Date? {
        let words = text.split(separator: " ")
        if words.count == 6, let month = months.firstIndex(of: String(words[2])) {
            return date([words[3], "\(month + 1)", words[1]] + words[4].split(separator: ":"))
        }
        let halves = text.prefix(19).split(separator: "T")
        guard halves.count == 2 else { return nil }
        return date(halves[0].split(separator: "-") + halves[1].split(separator: ":"))
    }

    private static func date(_ parts: [Substring]) -> Date? {
        let numbers = parts.compactMap { Int($0) }
        guard numbers.count == 6 else { return nil }
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(identifier: "GMT")!
        return calendar.date(
            from: DateComponents(
                year: numbers[0], month: numbers[1], day: numbers[2], hour: numbers[3], minute: numbers[4],
                second: numbers[5]))
    }
}
