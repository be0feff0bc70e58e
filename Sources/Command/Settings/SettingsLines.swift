/// Where the keys of a configuration file are: the parser has no lines of values.
///
/// The file is valid TOML. A key that is written in an unusual way, as with escapes, has the line of its table.
struct SettingsLines {
    /// The first line of each key and of each table.
    private var lines: [[String]: Int] = [:]

    init(_ text: String) {
        var table: [String] = []
        /// The quotes that end the text of several lines that is open.
        var closing: String?
        for (index, line) in Self.split(text).enumerated() {
            if let quotes = closing {
                if line.contains(quotes) { closing = nil }
                continue
            }
            var reader = Reader(rest: line)
            reader.skipSpaces()
            if reader.skip("[") {
                _ = reader.skip("[")
                guard let path = reader.path(), reader.skip("]") else { continue }
                table = path
                record(table, line: index + 1)
            } else if let path = reader.path(), reader.skip("=") {
                record(table + path, line: index + 1)
                reader.skipSpaces()
                closing = reader.openQuotes
            }
        }
    }

    /// The line of a key, else of its table, else the first one.
    ///
    /// - Parameter key: its parts, each as ``SettingsFile/spelled(_:)`` spells it.
    func line(of key: [String]) -> Int { lines[key] ?? lines[Array(key.prefix(1))] ?? 1 }

    /// The lines, without their ends.
    static func split(_ text: String) -> [Substring] {
        // CR LF is one character.
        text.split(omittingEmptySubsequences: false) { $0 == "\n" || $0 == "\r\n" }
    }

    /// Whether a key may have the byte without quotes.
    static func isBare(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private mutating func record(_ path: [String], line: Int) {
        // A setting has a table and a name.
        for count in 1...2 where count <= path.count {
            let key = Array(path.prefix(count))
            if lines[key] == nil { lines[key] = line }
        }
    }

    /// Reads the key of one line.
    private struct Reader {
        var rest: Substring

        mutating func skipSpaces() { rest = rest.drop { $0 == " " || $0 == "\t" } }

        mutating func skip(_ character: Character) -> Bool {
            guard rest.first == character else { return false }
            rest.removeFirst()
            return true
        }

        /// The quotes of a text of several lines that begins here, and does not end in this line.
        var openQuotes: String? {
            ["\"\"\"", "'''"].first { rest.hasPrefix($0) && !rest.dropFirst($0.count).contains($0) }
        }

        /// Parts with points between them, and the spaces around them.
        mutating func path() -> [String]? {
            var parts: [String] = []
            repeat {
                skipSpaces()
                guard let part = part() else { return nil }
                parts.append(SettingsFile.spelled(part))
                skipSpaces()
            } while skip(".")
            return parts
        }

        private mutating func part() -> String? {
            for quote: Character in ["\"", "'"] where skip(quote) {
                let text = rest.prefix { $0 != quote }
                rest = rest.dropFirst(text.count)
                return skip(quote) ? String(text) : nil
            }
            let text = rest.prefix { $0.utf8.allSatisfy(SettingsLines.isBare) }
            rest = rest.dropFirst(text.count)
            return text.isEmpty ? nil : String(text)
        }
    }
}
