/// The words of an SQL text, separated as SQLite's tokenizer separates them.
enum SQLWords {
    /// The keywords and unquoted names, in lower case, each with its offset in bytes. What is in comments, strings and
    /// quoted names is left out.
    static func all(in sql: String) -> [(word: String, offset: Int)] {
        let text = Array(sql.utf8)
        var words: [(word: String, offset: Int)] = []
        var index = 0
        /// The index behind the next occurrence of `end`, or the end of the text.
        func behind(_ end: String, from start: Int) -> Int {
            let end = Array(end.utf8)
            var index = start
            while index + end.count <= text.count {
                if text[index..<index + end.count].elementsEqual(end) { return index + end.count }
                index += 1
            }
            return text.count
        }
        while index < text.count {
            let rest = text[index...]
            switch text[index] {
            case UInt8(ascii: "'"): index = behind("'", from: index + 1)
            case UInt8(ascii: "\""): index = behind("\"", from: index + 1)
            case UInt8(ascii: "`"): index = behind("`", from: index + 1)
            case UInt8(ascii: "["): index = behind("]", from: index + 1)
            case UInt8(ascii: "-") where rest.starts(with: "--".utf8): index = behind("\n", from: index + 2)
            case UInt8(ascii: "/") where rest.starts(with: "/*".utf8): index = behind("*/", from: index + 2)
            // A word may follow the digits of a numbered parameter: `?1NATURAL` is two words.
            case UInt8(ascii: "?"):
                index += 1
                index += text[index...].prefix { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }.count
            // A byte order mark is white space.
            case 0xEF where rest.starts(with: "\u{FEFF}".utf8): index += 3
            case let byte where isPartOfWord(byte):
                let word = rest.prefix(while: isPartOfWord)
                words.append((String(decoding: word, as: UTF8.self).lowercased(), index))
                index += word.count
            default: index += 1
            }
        }
        return words
    }

    /// Whether a word is anywhere in a text, also in a comment, a string, or a quoted name.
    static func contains(_ word: String, in text: String) -> Bool {
        let (word, text) = (Array(word.utf8), Array(text.utf8))
        guard !word.isEmpty, word.count <= text.count else { return false }
        return (0...text.count - word.count).contains { start in
            let end = start + word.count
            return text[start..<end].elementsEqual(word)
                && (start == 0 || !isPartOfWord(text[start - 1])) && (end == text.count || !isPartOfWord(text[end]))
        }
    }

    private static func isPartOfWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "$"), 0x80...0xFF:
            true
        default: false
        }
    }
}
