import ArgumentParser
import Glibc
import WeightStore

/// The rows of a command that lists things of one kind: chosen, sorted and limited as the options say, and printed as a
/// table or as JSON.
struct Listing<Row: Encodable> {
    /// A column of the table, by which rows are chosen and sorted.
    struct Column {
        /// The kind of the values, which decides their order and how a value to compare with is written.
        enum Value {
            /// In alphabetical order; compared with a shell pattern. `isName`: long ones are cut.
            case text(isName: Bool, (Row) -> String)
            /// The largest first. nil means none.
            case count((Row) -> Int?)
            /// The largest first.
            case number((Row) -> Double)
            /// The largest first.
            case bytes((Row) -> Int)
            /// A time in seconds since 1970, the latest first; compared by its age. nil means never.
            case moment(never: String, (Row) -> Int?)
        }

        let heading: String
        let value: Value

        static func name(_ heading: String, _ text: @escaping (Row) -> String) -> Self {
            Self(heading: heading, value: .text(isName: true, text))
        }
        static func text(_ heading: String, _ text: @escaping (Row) -> String) -> Self {
            Self(heading: heading, value: .text(isName: false, text))
        }
        static func count(_ heading: String, _ count: @escaping (Row) -> Int) -> Self {
            Self(heading: heading, value: .count(count))
        }
        /// A count that some rows do not have.
        static func optional(_ heading: String, _ count: @escaping (Row) -> Int?) -> Self {
            Self(heading: heading, value: .count(count))
        }
        static func number(_ heading: String, _ number: @escaping (Row) -> Double) -> Self {
            Self(heading: heading, value: .number(number))
        }
        static func bytes(_ heading: String, _ bytes: @escaping (Row) -> Int) -> Self {
            Self(heading: heading, value: .bytes(bytes))
        }
        /// What is stored of the files: `100%`, `36%`, `-`, or `damaged`. Sorted with the least first.
        static func here(_ sizes: @escaping (Row) -> (bytes: Int, absent: Int, damaged: Int)) -> Self {
            Self(heading: "HERE", value: .text(isName: false) { Stored(sizes($0)).text })
        }
        static func moment(_ heading: String, never: String = "never", _ moment: @escaping (Row) -> Int?) -> Self {
            Self(heading: heading, value: .moment(never: never, moment))
        }

        /// The name in options: `LAST USED` is `last-used`.
        var name: String { heading.lowercased().replacing(" ", with: "-") }

        func text(of row: Row) -> String {
            switch value {
            case .text(_, let text): text(row)
            case .count(let count): count(row).map { "\($0)" } ?? "-"
            case .number(let number): Quantity.number(number(row))
            case .bytes(let bytes): Quantity.bytes(bytes(row))
            case .moment(let never, let moment): moment(row).map { Quantity.age($0) } ?? never
            }
        }

        fileprivate var mark: String {
            switch value {
            case .text(let isName, _): isName ? "~" : ""
            case .count, .number, .bytes: ">"
            case .moment: ""
            }
        }

        /// Whether the first row stands before the second.
        fileprivate func isBefore(_ first: Row, _ second: Row) -> Bool {
            switch value {
            case .text(_, let text): text(first) < text(second)
            case .count(let count): count(first) ?? .min > count(second) ?? .min
            case .number(let number): number(first) > number(second)
            case .bytes(let bytes): bytes(first) > bytes(second)
            case .moment(_, let moment): moment(first) ?? .min > moment(second) ?? .min
            }
        }
    }

    let rows: [Row]
    let columns: [Column]

    /// - Throws: `ValidationError` for a column that does not exist, or a value that the column does not have.
    init(_ rows: [Row], _ options: ListOptions, _ columns: [Column]) throws {
        self.columns = columns
        var rows = rows
        for filter in options.filter {
            let matches = try Self.condition(filter, columns)
            rows.removeAll { !matches($0) }
        }
        if let sort = options.sort {
            let column = try Self.column(sort, of: "--sort", columns)
            rows.sort { column.isBefore($0, $1) }
        }
        if options.reverse { rows.reverse() }
        self.rows = options.limit.map { Array(rows.prefix($0)) } ?? rows
    }

    var table: String {
        var table = Table(columns: columns.map { $0.mark + $0.heading })
        for row in rows { table.add(cells: columns.map { $0.text(of: row) }) }
        return table.text
    }

    private static func column(_ name: String, of option: String, _ columns: [Column]) throws -> Column {
        if let column = columns.first(where: { $0.name == name.lowercased() }) { return column }
        let names = columns.map(\.name)
        throw ValidationError(
            "\(option) \(name): must be one of \(names.joined(separator: ", "))"
                + (Spelling.question(name, in: names).map { ". \($0)" } ?? ""))
    }

    /// A condition such as `size>1G`, `refs=*prod*` or `last-used>30d`.
    private static func condition(_ filter: String, _ columns: [Column]) throws -> (Row) -> Bool {
        let operators = ["!=", ">=", "<=", "=", ">", "<"]
        guard let start = filter.firstIndex(where: { "!=<>".contains($0) }),
            let found = operators.first(where: { filter[start...].hasPrefix($0) })
        else {
            throw ValidationError(
                "--filter \(filter): must be a column, one of \(operators.joined(separator: " ")), and a value: 'size>1G'"
            )
        }
        let column = try column(String(filter[..<start]), of: "--filter", columns)
        let given = String(filter[start...].dropFirst(found.count))
        func comparison<Value: Comparable>(_ limit: Value, _ value: @escaping (Row) -> Value) -> (Row) -> Bool {
            switch found {
            case "=": { value($0) == limit }
            case "!=": { value($0) != limit }
            case ">": { value($0) > limit }
            case ">=": { value($0) >= limit }
            case "<": { value($0) < limit }
            default: { value($0) <= limit }
            }
        }
        func invalid(_ form: String) -> ValidationError { ValidationError("--filter \(filter): \(form)") }
        switch column.value {
        case .text(_, let text):
            guard ["=", "!="].contains(found) else {
                throw invalid("\(column.name) is text: compare it with = or != and a shell pattern")
            }
            return { (fnmatch(given, text($0), 0) == 0) == (found == "=") }
        case .count(let count):
            guard let limit = Int(decimal: given) else { throw invalid("must be a whole number, such as 24") }
            return { row in count(row).map { value in comparison(limit, { _ in value })(row) } ?? false }
        case .number(let number):
            guard let limit = Double(given), limit.isFinite else { throw invalid("must be a number, such as 1.5") }
            return comparison(limit, number)
        case .bytes(let bytes):
            guard let limit = Quantity.parseBytes(given) else { throw invalid("must be a size, such as 1G") }
            return comparison(limit, bytes)
        case .moment(_, let moment):
            guard let limit = Quantity.parseSeconds(given) else { throw invalid("must be an age, such as 30d") }
            let now = StoreClock.now
            return comparison(limit) { row in moment(row).map { now - $0 } ?? .max }
        }
    }
}

extension Listing {
    /// Prints the rows.
    func report(_ options: StoreOptions) throws {
        try options.json ? Terminal.write(json: rows) : Terminal.write(table)
    }
}

/// The options of commands that list things of one kind.
struct ListOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Sort by a column of the table: size, last-used. Sizes and counts the largest first, times the latest first.",
            valueName: "column"))
    var sort: String?
    @Flag(help: "In the opposite order.") var reverse = false
    @Option(help: ArgumentHelp("The most rows to show.", valueName: "count")) var limit: Int?
    @Option(
        help: ArgumentHelp(
            "Only rows with this value in a column: 'size>1G', 'last-used>30d' (older), 'model=org/*'. May be repeated.",
            valueName: "condition"))
    var filter: [String] = []
    @OptionGroup var table: TableOptions

    func validate() throws {
        try OptionRange.check("--limit", limit, 1...Int.max, "leave it out for all rows")
    }
}

/// The option of commands that print a table.
struct TableOptions: ParsableArguments {
    @Flag(help: "Show long names whole, even if the table is then wider than the terminal.") var noTrunc = false

    func validate() throws { if noTrunc { Presentation.cutsNames = false } }
}
