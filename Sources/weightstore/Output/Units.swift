import ArgumentParser
import Foundation

/// Bytes, as people write and read them: decimal units, as disks and hubs count; `GiB` is understood.
struct ByteSize: ExpressibleByArgument {
    let bytes: Int

    init?(argument: String) {
        let number = argument.prefix { $0.isNumber || $0 == "." }
        var unit = argument.dropFirst(number.count).lowercased()[...]
        if unit.hasSuffix("b") { unit = unit.dropLast() }
        let base = unit.hasSuffix("i") ? 1024.0 : 1000.0
        if unit.hasSuffix("i") { unit = unit.dropLast() }
        guard let value = Double(number), let power = ["", "k", "m", "g", "t", "p"].firstIndex(of: unit),
            base == 1000 || power > 0, let bytes = Int(exactly: (value * pow(base, Double(power))).rounded())
        else { return nil }
        self.bytes = bytes
    }

    static func text(_ bytes: Int) -> String { text(Double(bytes)) }

    static func text(_ bytes: Double) -> String {
        var value = bytes
        var unit = 0
        let units = ["B", "kB", "MB", "GB", "TB", "PB"]
        while value >= 999.5, unit < units.count - 1 {
            value /= 1000
            unit += 1
        }
        let digits = unit == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
        return String(format: "%.\(digits)f \(units[unit])", value)
    }
}

/// A span of time, as people write and read it: `90s`, `15m`, `12h`, `30d`, `2w`.
struct TimeSpan: ExpressibleByArgument {
    let seconds: Int

    private static let units: [Character: Int] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]

    init?(argument: String) {
        if argument == "0" {
            seconds = 0
            return
        }
        guard let unit = argument.last.flatMap({ Self.units[$0] }), let value = Int(argument.dropLast()), value >= 0,
            case let (seconds, overflow) = value.multipliedReportingOverflow(by: unit), !overflow
        else { return nil }
        self.seconds = seconds
    }

    static func text(_ seconds: Double) -> String {
        switch seconds {
        case ..<0.9995: String(format: "%.0f ms", seconds * 1000)
        case ..<10: String(format: "%.1f s", seconds)
        case ..<90: String(format: "%.0f s", seconds)
        case ..<5400: String(format: "%.0f min", seconds / 60)
        case ..<129_600: String(format: "%.0f h", seconds / 3600)
        default: String(format: "%.0f d", seconds / 86_400)
        }
    }

    /// How long ago a moment was, given in seconds since 1970.
    static func age(_ moment: Int) -> String {
        let seconds = Date.now.timeIntervalSince1970 - Double(moment)
        return seconds < 60 ? "just now" : "\(text(seconds)) ago"
    }
}

/// A share of the whole: `5%` or `0.05`.
struct Share: ExpressibleByArgument {
    let fraction: Double

    init?(argument: String) {
        let isPercent = argument.hasSuffix("%")
        guard let value = Double(isPercent ? String(argument.dropLast()) : argument) else { return nil }
        fraction = isPercent ? value / 100 : value
        guard fraction > 0, fraction <= 1 else { return nil }
    }
}

/// `1 file`, `2 files`.
func counted(_ count: Int, _ noun: String) -> String {
    "\(count) \(noun)\(count == 1 ? "" : "s")"
}

/// A number without a unit, to three digits.
enum Number {
    static func text(_ value: Double) -> String { String(format: "%.3g", value) }
}
