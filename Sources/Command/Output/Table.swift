/// A plain-text table: a line of headings, columns as wide as their longest cell, numbers aligned to the right.
struct Table {
    private let headings: [String]
    private let numeric: [Bool]
    private var rows: [[String]] = []

    /// - Parameter columns: headings; a column whose heading begins with `>` is aligned to the right.
    init(_ columns: String...) {
        numeric = columns.map { $0.hasPrefix(">") }
        headings = columns.map { $0.hasPrefix(">") ? String($0.dropFirst()) : $0 }
    }

    mutating func add(_ cells: String...) { rows.append(cells) }

    var isEmpty: Bool { rows.isEmpty }

    var text: String {
        let lines = [headings] + rows
        let widths = headings.indices.map { column in lines.map { $0[column].count }.max() ?? 0 }
        return lines.map { line in
            let cells = zip(line, zip(widths, numeric)).map { cell, column in
                let padding = String(repeating: " ", count: column.0 - cell.count)
                return column.1 ? padding + cell : cell + padding
            }
            var text = cells.joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            return text + "\n"
        }.joined()
    }
}
