import Foundation

/// Formats sizes, durations and counts for people.
package enum Quantity {
    /// A size in decimal units, as disks and hubs use: `1.23 GB`.
    package static func bytes(_ count: Int) -> String { bytes(Double(count)) }

    /// A size or rate in decimal units: `1.23 GB`.
    package static func bytes(_ count: Double) -> String {
        let (value, prefix) = scaled(count)
        return "\(value) \(prefix)B"
    }

    /// An amount without a unit: `999`, `1.23 k`, `45.6 M`.
    package static func amount(_ count: Double) -> String {
        let (value, prefix) = scaled(count)
        return prefix.isEmpty ? value : "\(value) \(prefix)"
    }

    private static func scaled(_ count: Double) -> (value: String, prefix: String) {
        var value = count
        var step = 0
        let prefixes = ["", "k", "M", "G", "T", "P"]
        while value >= 999.5, step < prefixes.count - 1 {
            value /= 1000
            step += 1
        }
        let digits = step == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
        return (String(format: "%.\(digits)f", value), prefixes[step])
    }

    /// A duration given in seconds: `80 µs`, `1.5 ms`, `12 ms`, `1.5 s`, `3 min`.
    package static func seconds(_ seconds: Double) -> String {
        switch seconds {
        case ..<0: String(format: "%.0f ms", seconds * 1000)
        case 0: "0 s"
        case ..<0.0009995: String(format: "%.0f µs", seconds * 1_000_000)
        case ..<0.00995: String(format: "%.1f ms", seconds * 1000)
        case ..<0.9995: String(format: "%.0f ms", seconds * 1000)
        case ..<10: String(format: "%.1f s", seconds)
        case ..<90: String(format: "%.0f s", seconds)
        case ..<5400: String(format: "%.0f min", seconds / 60)
        case ..<129_600: String(format: "%.0f h", seconds / 3600)
        default: String(format: "%.0f d", seconds / 86_400)
        }
    }

    /// The time since a moment, which is given in seconds since 1970: `just now`, `3 min ago`.
    package static func age(_ moment: Int) -> String {
        let seconds = Date.now.timeIntervalSince1970 - Double(moment)
        return seconds < 60 ? "just now" : "\(self.seconds(seconds)) ago"
    }

    /// A fraction of 1 as a percentage with at most two digits that count: `8.2%`, `0.04%`, `100%`. There is no space before
    /// the sign, as in the shares that the command line accepts (``parseShare(_:)``).
    ///
    /// - Parameter decimals: the number of decimals; as many as count if nil.
    package static func percent(_ fraction: Double, decimals: Int? = nil) -> String {
        let percent = fraction * 100
        guard percent.isFinite else { return "–%" }
        if let decimals { return String(format: "%.\(decimals)f%%", percent) }
        if percent > 0, percent < 0.01 { return "< 0.01%" }
        let digits = percent >= 9.95 ? 0 : percent >= 0.995 ? 1 : 2
        var text = String(format: "%.\(digits)f", percent)
        if text.contains(".") {
            while text.hasSuffix("0") { text.removeLast() }
            if text.hasSuffix(".") { text.removeLast() }
        }
        return text + "%"
    }

    /// A number without a unit, to three significant digits.
    package static func number(_ value: Double) -> String { String(format: "%.3g", value) }

    /// A count and its noun: `1 file`, `2 files`.
    package static func count(_ count: Int, _ noun: String) -> String { "\(count) \(noun)\(count == 1 ? "" : "s")" }
}
