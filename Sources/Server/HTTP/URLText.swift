/// Percent-encoding, by the letter: what is not well-formed is refused, and nothing is decoded twice.
enum URLText {
    /// - Returns: nil unless every `%` is followed by two digits and the bytes are UTF-8 without control characters.
    static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String? {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "%"):
                guard let high = rest.popFirst().flatMap(digit), let low = rest.popFirst().flatMap(digit) else {
                    return nil
                }
                bytes.append(high << 4 | low)
            case UInt8(ascii: "+") where plusIsSpace: bytes.append(UInt8(ascii: " "))
            default: bytes.append(byte)
            }
        }
        guard bytes.allSatisfy({ $0 >= 0x20 && $0 != 0x7F }) else { return nil }
        return String(validating: bytes, as: UTF8.self)
    }

    static func encode(_ text: String) -> String {
        var result = ""
        for byte in text.utf8 {
            let character = Character(UnicodeScalar(byte))
            if byte < 0x80, character.isLetter || character.isNumber || "-._~/".contains(character) {
                result.append(character)
            } else {
                result += "%" + String(byte >> 4, radix: 16, uppercase: true) + String(byte & 15, radix: 16, uppercase: true)
            }
        }
        return result
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        Character(UnicodeScalar(byte)).hexDigitValue.map(UInt8.init)
    }
}

/// The fields of a query, or of a form.
struct Query: Sendable, Equatable {
    private let fields: [(name: String, value: String)]

    static func == (left: Query, right: Query) -> Bool { left.text == right.text }

    private init(_ fields: [(name: String, value: String)]) { self.fields = fields }

    /// What is not well-formed is left out.
    init(_ text: some StringProtocol) {
        fields = text.split(separator: "&").compactMap { field in
            let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard let name = URLText.decode(parts[0], plusIsSpace: true),
                let value = parts.count == 2 ? URLText.decode(parts[1], plusIsSpace: true) : ""
            else { return nil }
            return (name, value)
        }
    }

    subscript(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    func all(_ name: String) -> [String] { fields.filter { $0.name == name }.map(\.value) }

    /// Python's `True` is one, too.
    func isSet(_ name: String) -> Bool { ["true", "1"].contains(self[name]?.lowercased()) }

    /// With one field set to another value.
    func with(_ name: String, _ value: String) -> Query {
        Query(fields.filter { $0.name != name } + [(name, value)])
    }

    var text: String {
        fields.map { "\(URLText.encode($0.name))=\(URLText.encode($0.value))" }.joined(separator: "&")
    }
}
