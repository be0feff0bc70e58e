import ArgumentParser
import WeightStore

/// Checks of option values. The message has the value, the allowed range and the next step.
enum OptionRange {
    /// - Parameter next: what to do instead.
    /// - Throws: `ValidationError` unless a given value is in the range.
    static func check(_ option: String, _ value: ByteSize?, atLeast least: Int, _ next: String) throws {
        guard let value, value.bytes < least else { return }
        throw ValidationError(
            "\(option) \(value.defaultValueDescription): must be at least \(Quantity.count(least, "byte")); \(next)")
    }

    static func check(_ option: String, _ value: TimeSpan?, _ range: ClosedRange<Int>, _ next: String) throws {
        guard let value, !range.contains(value.seconds) else { return }
        throw ValidationError(
            "\(option) \(text(value.seconds)): must be between \(text(range.lowerBound)) and "
                + "\(text(range.upperBound)); \(next)")
    }

    static func check(_ option: String, _ value: Int?, _ range: ClosedRange<Int>, _ next: String) throws {
        guard let value, !range.contains(value) else { return }
        throw ValidationError(
            "\(option) \(value): must be between \(range.lowerBound) and \(range.upperBound); \(next)")
    }

    private static func text(_ seconds: Int) -> String {
        TimeSpan(argument: "\(seconds)s")?.defaultValueDescription ?? "\(seconds)s"
    }
}
