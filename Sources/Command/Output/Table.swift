/// A plain-text table: a line of headings, columns as wide as their longest cell, numbers aligned to the right.
///
/// On a terminal, a table that is too wide gets narrower columns of names: the middle of a long name is replaced by `…`.
struct Table {
    private let headings: [String]
    private let isNumeric: [Bool]
    private let isName: [Bool]
    private var rows: [[String]] = []

    /// The least width to which a column of names is cut.
    private static let leastWidth = 12
    private static let gap = "  "

    /// - Parameter columns: headings; a column whose heading begins with `>` is aligned to the right, and one with `~` has
    ///   names, which may be cut.
    init(_ columns: String...) { self.init(columns: columns) }

    init(columns: [String]) {
        isNumeric = columns.map { $0.hasPrefix(">") }
        isName = columns.map { $0.hasPrefix("~") }
        headings = columns.map { $0.hasPrefix(">") || $0.hasPrefix("~") ? String($0.dropFirst()) : $0 }
    }

    mutating func add(_ cells: String...) { add(cells: cells) }

    /// Adds a line. Cells have names from elsewhere, such as those of other processes: control characters become `?`.
    mutating func add(cells: [String]) { rows.append(cells.map(\.printable)) }

    var isEmpty: Bool { rows.isEmpty }

    /// The table, as wide as the terminal at most, if the names can be cut so far.
    var text: String { text(width: Presentation.cutsNames ? Terminal.tableWidth : nil) }

    private func text(width: Int?) -> String {
        let lines = [headings] + rows
        var widths = headings.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        if let width { fit(&widths, to: width) }
        return lines.enumerated().map { index, line in
            let cells = line.indices.map { column in
                let cell = isName[column] ? Self.cut(line[column], to: widths[column]) : line[column]
                let padding = String(repeating: " ", count: max(widths[column] - cell.count, 0))
                return isNumeric[column] ? padding + cell : cell + padding
            }
            var text = cells.joined(separator: Self.gap)
            while text.last == " " { text.removeLast() }
            return (index == 0 ? Terminal.styled(text, .bold) : text) + "\n"
        }.joined()
    }

    /// Takes the columns that are too many from the widest columns of names.
    private func fit(_ widths: inout [Int], to width: Int) {
        var excess = widths.reduce(0, +) + Self.gap.count * max(widths.count - 1, 0) - width
        while excess > 0 {
            let names = widths.indices.filter { isName[$0] && widths[$0] > Self.leastWidth }
            guard let widest = names.max(by: { widths[$0] < widths[$1] }) else { return }
            let next = names.filter { $0 != widest }.map { widths[$0] }.max() ?? 0
            let target = max(min(next, widths[widest] - 1), widths[widest] - excess, Self.leastWidth)
            excess -= widths[widest] - target
            widths[widest] = target
        }
    }

    /// The text, with `…` in place of its middle if it is longer.
    private static func cut(_ text: String, to width: Int) -> String {
        guard text.count > width, width > 1 else { return text }
        let last = (width - 1) / 2
        return "\(text.prefix(width - 1 - last))…\(text.suffix(last))"
    }
}
