import TOMLKit
import WeightStore

/// A configuration file in TOML. A setting's key has two parts, a table and a name; whatever is deeper is one value.
struct SettingsFile {
    enum Value: Equatable {
        case text(String)
        case number(Int)
        case flag(Bool)
        case list([String])
        /// A value that no setting has, in words.
        case other(String)
    }

    /// A key with its table, and its place.
    struct Entry {
        let key: String
        let value: Value
        let line: Int
    }

    let path: String
    /// In the order of the lines.
    let entries: [Entry]

    /// More than any configuration has.
    private static let mostBytes = 1 << 16
    /// The parser calls itself for each part of a key between points; so few calls cannot exhaust its stack.
    private static let mostPoints = 1 << 12

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
        if let line = Self.lineWithNUL(text) {
            // The parser's texts end at one.
            throw StorageError.invalid(
                what: "configuration", value: "\(path), line \(line)", reason: "must not have a NUL character")
        }
        let points = text.utf8.count { $0 == UInt8(ascii: ".") }
        guard points <= Self.mostPoints else {
            throw StorageError.invalid(
                what: "configuration", value: "\(path), \(points) points",
                reason: "must have at most \(Self.mostPoints) points, because keys in keys exhaust the stack")
        }
        let document: TOMLTable
        do {
            document = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw StorageError.invalid(
                what: "configuration", value: "\(path), line \(error.source.begin.line)", reason: error.description)
        }
        let lines = SettingsLines(text)
        entries = Self.values(of: document).map { parts, value in
            Entry(key: parts.joined(separator: "."), value: value, line: lines.line(of: parts))
        }.sorted { ($0.line, $0.key) < ($1.line, $1.key) }
    }

    /// A part of a key as TOML spells it: in quotes, unless it has letters, digits, `-` and `_` alone.
    static func spelled(_ part: String) -> String {
        let isBare = !part.isEmpty && part.utf8.allSatisfy(SettingsLines.isBare)
        return isBare ? part : "\"\(part)\""
    }

    private static func values(of document: TOMLTable) -> [(parts: [String], value: Value)] {
        document.keys.flatMap { table -> [(parts: [String], value: Value)] in
            guard let content = document[table] else { return [] }
            guard let inner = content.table else { return [([spelled(table)], value(of: content))] }
            return inner.keys.compactMap { name in
                inner[name].map { ([spelled(table), spelled(name)], value(of: $0)) }
            }
        }
    }

    private static func value(of node: any TOMLValueConvertible) -> Value {
        switch node.type {
        case .string: node.string.map { .text($0) } ?? .other("a text")
        case .int: node.int.map { .number($0) } ?? .other("a number")
        case .bool: node.bool.map { .flag($0) } ?? .other("true or false")
        case .array: list(node.array) ?? .other("a list with something else than texts")
        case .table: .other("a table")
        case .double: .other("a number with a fraction")
        case .date, .dateTime: .other("a date")
        case .time: .other("a time")
        }
    }

    private static func list(_ array: TOMLArray?) -> Value? {
        guard let array else { return nil }
        let texts = array.map(\.string)
        let items = texts.compactMap(\.self)
        return items.count == texts.count ? .list(items) : nil
    }

    /// The line of a NUL character, or of an escape for it.
    private static func lineWithNUL(_ text: String) -> Int? {
        let forms = ["\0", "\\u0000", "\\U00000000"]
        return SettingsLines.split(text).firstIndex { line in forms.contains { line.contains($0) } }.map { $0 + 1 }
    }
}
