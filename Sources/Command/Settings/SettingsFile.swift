import WeightStore

/// A configuration file: TOML with tables, texts, whole numbers, `true` and `false`, and lists of texts. Settings need no
/// other values, so dates, fractions, texts of several lines and nested tables are refused.
struct SettingsFile {
    enum Value: Equatable {
        case text(String)
        case number(Int)
        case flag(Bool)
        case list([String])
    }

    /// A key with its table, and its place.
    struct Entry {
        let key: String
        let value: Value
        let line: Int
    }

    let path: String
    let entries: [Entry]

    /// More than any configuration.
    private static let mostBytes = 1 << 20

    /// - Throws: ``FileError``; ``StorageError/invalid(what:value:reason:)`` with the line.
    init(_ path: String) throws {
        let bytes = try FileSystem.read(path, limit: Self.mostBytes)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw StorageError.invalid(what: "configuration", value: path, reason: "must be UTF-8")
        }
        try self.init(text, path: path)
    }

    init(_ text: String, path: String) throws {
        self.path = path
        var entries: [Entry] = []
        var table = ""
        var keys: Set<String> = []
        // A line may end with CR LF, which is one character.
        for (index, line) in text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline).enumerated() {
            func invalid(_ reason: String) -> StorageError {
                .invalid(what: "configuration", value: "\(path), line \(index + 1)", reason: reason)
            }
            var reader = LineReader(line)
            reader.skipSpaces()
            if reader.isAtEnd { continue }
            if reader.skip("[") {
                guard let name = reader.name(), reader.skip("]"), reader.isAtEndOfLine() else {
                    throw invalid("must be a table, such as [store]")
                }
                table = name + "."
                continue
            }
            guard let name = reader.name() else { throw invalid("must be a key, such as path = \"/srv/weights\"") }
            reader.skipSpaces()
            guard reader.skip("=") else { throw invalid("\(name): the key must be followed by = and a value") }
            reader.skipSpaces()
            guard let value = reader.value(), reader.isAtEndOfLine() else {
                throw invalid(
                    "\(name): the value must be a text in quotes, a whole number, true, false, or a list of texts")
            }
            guard keys.insert(table + name).inserted else { throw invalid("\(table)\(name): a second value") }
            entries.append(Entry(key: table + name, value: value, line: index + 1))
        }
        self.entries = entries
    }

    /// Reads one line.
    private struct LineReader {
        private var rest: Substring

        init(_ line: Substring) { rest = line }

        var isAtEnd: Bool { rest.isEmpty || rest.first == "#" }

        mutating func skipSpaces() { rest = rest.drop { $0 == " " || $0 == "\t" } }

        /// Whether only spaces and a comment follow.
        mutating func isAtEndOfLine() -> Bool {
            skipSpaces()
            return isAtEnd
        }

        mutating func skip(_ character: Character) -> Bool {
            guard rest.first == character else { return false }
            rest.removeFirst()
            return true
        }

        /// Letters, digits, `_`, `-` and `.`.
        mutating func name() -> String? {
            let name = rest.prefix { $0.isASCII && ($0.isLetter || $0.isNumber || "_-.".contains($0)) }
            rest = rest.dropFirst(name.count)
            return name.isEmpty ? nil : String(name)
        }

        mutating func value() -> Value? {
            if rest.first == "[" { return list() }
            if rest.first == "\"" || rest.first == "'" { return text().map { .text($0) } }
            guard let word = name() else { return nil }
            switch word {
            case "true": return .flag(true)
            case "false": return .flag(false)
            default: return Int(decimal: word.replacing("_", with: "")).map { .number($0) }
            }
        }

        private mutating func list() -> Value? {
            guard skip("[") else { return nil }
            var items: [String] = []
            skipSpaces()
            while !skip("]") {
                guard let item = text() else { return nil }
                items.append(item)
                skipSpaces()
                guard skip(",") || rest.first == "]" else { return nil }
                skipSpaces()
            }
            return .list(items)
        }

        /// A text in double quotes, with escapes, or in single ones, without.
        private mutating func text() -> String? {
            guard let quote = rest.popFirst(), quote == "\"" || quote == "'" else { return nil }
            var text = ""
            while let character = rest.popFirst() {
                if character == quote { return text }
                guard character == "\\", quote == "\"" else {
                    text.append(character)
                    continue
                }
                switch rest.popFirst() {
                case "\\": text.append("\\")
                case "\"": text.append("\"")
                case "n": text.append("\n")
                case "t": text.append("\t")
                default: return nil
                }
            }
            return nil
        }
    }
}
