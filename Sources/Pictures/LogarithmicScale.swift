import Foundation

/// A logarithmic axis: where a value stands, and which values have a mark.
struct LogarithmicScale {
    private let low: Double
    private let high: Double

    /// - Parameter values: the values that the axis must show, above 0.
    init(_ values: [Double]) {
        let valid = values.filter { $0 > 0 && $0.isFinite }
        let least = valid.min() ?? 1
        let most = valid.max() ?? 10
        // One value alone stands in the middle.
        low = least < most ? least : least / 2
        high = least < most ? most : most * 2
    }

    /// The place of a value, 0 to 1.
    func place(_ value: Double) -> Double {
        guard value > 0 else { return 0 }
        return min(max((log(value) - log(low)) / (log(high) - log(low)), 0), 1)
    }

    /// Values with a label: 1, 2 and 5 times the powers of ten, or fewer or more so that about `count` fit.
    func labeled(_ count: Int) -> [Double] {
        let choices: [[Double]] = [
            [1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 5, 7], [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9],
        ]
        let found = choices.map(values)
        return found.last { $0.count <= count && $0.count >= 2 } ?? found.last { $0.count <= count && !$0.isEmpty }
            ?? [low, high]
    }

    /// Values with a short mark: each whole multiple of a power of ten.
    var marked: [Double] { values((1...9).map(Double.init)) }

    private func values(_ multiples: [Double]) -> [Double] {
        let decades = Int(log10(low).rounded(.down))...Int(log10(high).rounded(.up))
        return decades.flatMap { decade in multiples.map { $0 * pow(10, Double(decade)) } }
            .filter { $0 >= low * 0.9999 && $0 <= high * 1.0001 }
    }
}
