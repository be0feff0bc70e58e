import Foundation
import Support

/// Dates in the formats of HTTP's headers and S3's XML.
package enum HTTPDate {
    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    /// Parses `Tue, 24 Nov 2026 09:55:26 GMT` (RFC 9110), or `2026-11-24T09:55:26.644Z`.
    ///
    /// - Returns: nil for any other format, and for a date that does not exist.
    package static func parse(_ text: String) -> Date? {
        let words = text.byteParts(" ")
        if words.count == 6 {
            guard let month = months.firstIndex(of: words[2]) else { return nil }
            return date([words[3], "\(month + 1)", words[1]], words[4])
        }
        let halves = String(decoding: text.utf8.prefix(19), as: UTF8.self).byteParts("T")
        return halves.count == 2 ? date(halves[0].byteParts("-"), halves[1]) : nil
    }

    private static func date(_ day: [String], _ time: String) -> Date? {
        let parts = day + time.byteParts(":")
        let numbers = parts.compactMap { Int(decimal: $0) }
        guard parts.count == 6, numbers.count == 6 else { return nil }
        let (year, month, day) = (numbers[0], numbers[1], numbers[2])
        let (hour, minute, second) = (numbers[3], numbers[4], numbers[5])
        // A leap second is 60.
        guard 1...9999 ~= year, 1...12 ~= month, 1...length(of: month, year) ~= day, 0...23 ~= hour, 0...59 ~= minute,
            0...60 ~= second
        else { return nil }
        // Days since 1970 in the Gregorian calendar, with years that begin in March, so that a leap day is the last.
        let shifted = month > 2 ? year : year - 1
        let days =
            365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + (153 * ((month + 9) % 12) + 2) / 5 + day - 1
            - 719_468
        return Date(timeIntervalSince1970: Double(days * 86_400 + hour * 3600 + minute * 60 + second))
    }

    private static func length(of month: Int, _ year: Int) -> Int {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}
