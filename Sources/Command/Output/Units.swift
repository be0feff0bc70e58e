import ArgumentParser
import Foundation
import WeightStore

/// A size in bytes: `50G` is decimal, as disks and hubs count; `50GiB` is binary.
struct ByteSize: ExpressibleByArgument {
    let bytes: Int

    init?(argument: String) {
        guard let bytes = Quantity.parseBytes(argument) else { return nil }
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
        guard let seconds = Quantity.parseSeconds(argument) else { return nil }
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
        guard let fraction = Quantity.parseShare(argument) else { return nil }
        self.fraction = fraction
    }

    /// The percentage: `5%`.
    var defaultValueDescription: String { Quantity.percent(fraction) }
}
