import ArgumentParser
import Foundation

/// A size in bytes: `50G` is decimal, as disks and hubs count; `50GiB` is binary.
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

    /// The shortest exact text: `50G`, `64MiB`.
    var defaultValueDescription: String {
        func text(_ base: Int, _ suffix: String) -> (number: Int, text: String) {
            var (number, power) = (bytes, 0)
            while number > 0, number % base == 0, power < 5 { (number, power) = (number / base, power + 1) }
            return (number, "\(number)" + (power > 0 ? ["", "K", "M", "G", "T", "P"][power] + suffix : ""))
        }
        let (decimal, binary) = (text(1000, ""), text(1024, "iB"))
        return decimal.number <= binary.number ? decimal.text : binary.text
    }
}

/// A duration: `90s`, `15m`, `12h`, `30d`, `2w`.
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

    /// The text with the largest unit that is exact: `5s`, `1d`.
    var defaultValueDescription: String {
        let exact = Self.units.filter { seconds % $0.value == 0 }
        guard seconds > 0, let (unit, length) = exact.max(by: { $0.value < $1.value }) else { return "\(seconds)" }
        return "\(seconds / length)\(unit)"
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

    /// The percentage: `5%`.
    var defaultValueDescription: String { String(format: "%g%%", fraction * 100) }
}
