/// The subset of XML in S3's responses: elements without attributes, as text. Compared by bytes: a `Character` may join
/// `>` and what follows it.
package enum XMLText {
    /// The contents of the elements with a name, in order. They must not contain elements with the same name.
    package static func values(of name: String, in text: String) -> [String] {
        let bytes = Array(text.utf8)
        let (start, end) = (Array("<\(name)>".utf8), Array("</\(name)>".utf8))
        var found: [String] = []
        var place = 0
        while let opening = find(start, in: bytes, from: place),
            let closing = find(end, in: bytes, from: opening + start.count)
        {
            found.append(String(decoding: bytes[(opening + start.count)..<closing], as: UTF8.self))
            place = closing + end.count
        }
        return found
    }

    private static func find(_ word: [UInt8], in bytes: [UInt8], from start: Int) -> Int? {
        guard start + word.count <= bytes.count else { return nil }
        return (start...bytes.count - word.count).first { bytes[$0] == word[0] && bytes[$0...].starts(with: word) }
    }

    /// Text with its entities resolved, each once.
    package static func plain(_ text: String) -> String {
        var rest = text.utf8[...]
        var plain: [UInt8] = []
        while let byte = rest.first {
            if let entity = entities.first(where: { rest.starts(with: $0.name.utf8) }) {
                plain.append(entity.byte)
                rest = rest.dropFirst(entity.name.utf8.count)
            } else {
                plain.append(byte)
                rest = rest.dropFirst()
            }
        }
        return String(decoding: plain, as: UTF8.self)
    }

    private static let entities: [(name: String, byte: UInt8)] = [
        ("&lt;", UInt8(ascii: "<")), ("&gt;", UInt8(ascii: ">")), ("&quot;", UInt8(ascii: "\"")),
        ("&apos;", UInt8(ascii: "'")), ("&amp;", UInt8(ascii: "&")),
    ]
}
