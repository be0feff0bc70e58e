import Foundation
import WeightStore

/// Miss-ratio curves, or for prefixes hit-ratio curves, for the terminal. The quota axis is logarithmic.
struct CurveDrawing {
    let curve: MissRatioCurve
    /// Whether to draw the byte miss ratio instead of the object miss ratio.
    let usesBytes: Bool

    private static let rows = 14
    private static let marks = Array("●▲■◆▼◇□△")

    private func ratio(_ point: MissRatioCurve.Point) -> Double {
        let misses = usesBytes ? point.byteMissRatio : point.missRatio
        return curve.isPrefixTrace ? 1 - misses : misses
    }

    private var title: String {
        (usesBytes ? "byte" : curve.isPrefixTrace ? "block" : "object")
            + (curve.isPrefixTrace ? " hit ratio" : " miss ratio")
    }

    private func mark(_ line: Int) -> Character {
        curve.lines[line].name == "bound" ? "·" : Self.marks[line % Self.marks.count]
    }

    private var quotas: [Int] { curve.lines[0].points.map(\.quota) }
    private var top: Double {
        let highest = curve.lines.flatMap { $0.points.map(ratio) }.max() ?? 1
        return max((highest * 10).rounded(.up) / 10, 0.1)
    }

    /// The position of a quota on the axis, 0 to 1.
    private func place(_ quota: Int) -> Double {
        let low = log(Double(quotas.first!))
        let high = log(Double(quotas.last!))
        return high > low ? (log(Double(quota)) - low) / (high - low) : 0.5
    }

    // MARK: Terminal

    func text(width: Int) -> String {
        var text =
            "\(curve.accesses) accesses to \(Quantity.count(curve.objects, "object")), \(Quantity.bytes(curve.footprint)) in all\n\n"
        text += plot(width: min(max(width, 40), 100)) + "\n" + table
        return text
    }

    private func plot(width: Int) -> String {
        let columns = width - 8
        var cells = [[Character]](repeating: [Character](repeating: " ", count: columns), count: Self.rows + 1)
        // The first line is drawn last, over the others.
        for line in curve.lines.indices.reversed() {
            for point in curve.lines[line].points {
                let row = Int(((1 - ratio(point) / top) * Double(Self.rows)).rounded())
                let column = Int((place(point.quota) * Double(columns - 1)).rounded())
                cells[min(max(row, 0), Self.rows)][column] = mark(line)
            }
        }
        var text = title + "\n"
        for (row, line) in cells.enumerated() {
            let label =
                row % 7 == 0 ? String(format: "%4.0f%% ", (1 - Double(row) / Double(Self.rows)) * top * 100) : "      "
            var cells = String(line)
            while cells.last == " " { cells.removeLast() }
            text += label + (row % 7 == 0 ? "┤" : "│") + cells + "\n"
        }
        let low = Quantity.bytes(quotas.first!)
        let high = Quantity.bytes(quotas.last!)
        text +=
            "      └" + String(repeating: "─", count: columns) + "\n       " + low
            + String(repeating: " ", count: max(columns - low.count - high.count, 1)) + high + "\n"
        return text + "       "
            + curve.lines.indices.map { "\(mark($0)) \(curve.lines[$0].name)" }.joined(separator: "   ") + "\n"
    }

    private var table: String {
        func percent(_ ratio: Double) -> String { Quantity.percent(ratio, decimals: 2) }
        var lines = [["QUOTA"] + curve.lines.map(\.name)]
        for index in quotas.indices {
            lines.append(
                [Quantity.bytes(quotas[index])]
                    + curve.lines.map { line in
                        curve.isPrefixTrace
                            ? percent(1 - line.points[index].missRatio)
                            : percent(line.points[index].missRatio) + " " + percent(line.points[index].byteMissRatio)
                    })
        }
        let widths = lines[0].indices.map { column in lines.map { $0[column].count }.max()! }
        return lines.map { line in
            zip(line, widths).map { String(repeating: " ", count: $1 - $0.count) + $0 }.joined(separator: "  ") + "\n"
        }.joined() + (curve.isPrefixTrace ? "(block hit ratio)\n" : "(object and byte miss ratio)\n")
    }
}
