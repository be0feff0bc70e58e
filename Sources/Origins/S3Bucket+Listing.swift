import Foundation
import NIOHTTP1

extension S3Bucket {
    /// An object in a listing.
    package struct Entry: Sendable {
        package let name: String
        package let bytes: Int
        package let modified: Date
    }

    /// Lists the objects whose names begin with `prefix`, page by page. A listing may lag behind writes and deletions:
    /// no decision about an object is safe because the object is listed, or because it is not.
    package func list(_ prefix: String, _ body: ([Entry]) throws -> Void) throws {
        var more: [(String, String)] = []
        while true {
            let answer = try askBucket(
                [("list-type", "2"), ("encoding-type", "url"), ("prefix", full(prefix))] + more)
            let text = String(decoding: answer.text, as: UTF8.self)
            try body(
                XMLText.values(of: "Contents", in: text).compactMap { entry in
                    func field(_ name: String) -> String {
                        XMLText.values(of: name, in: entry).first.map(String.init) ?? ""
                    }
                    guard let key = field("Key").removingPercentEncoding, let name = relative(key),
                        let bytes = Int(field("Size")),
                        let modified = HTTPDate.parse(field("LastModified"))
                    else { return nil }
                    return Entry(name: name, bytes: bytes, modified: modified)
                })
            guard XMLText.values(of: "IsTruncated", in: text).first == "true",
                let next = XMLText.values(of: "NextContinuationToken", in: text).first
            else { return }
            more = [("continuation-token", XMLText.plain(next))]
        }
    }
}

/// The subset of XML in S3's responses: elements without attributes, as text.
enum XMLText {
    /// The contents of the elements with a name, in order. They must not contain elements with the same name.
    static func values(of name: String, in text: some StringProtocol) -> [Substring] {
        var found: [Substring] = []
        var rest = Substring(text)
        while let start = rest.range(of: "<\(name)>"),
            let end = rest.range(of: "</\(name)>", range: start.upperBound..<rest.endIndex)
        {
            found.append(rest[start.upperBound..<end.lowerBound])
            rest = rest[end.upperBound...]
        }
        return found
    }

    /// Text with its entities resolved.
    static func plain(_ text: Substring) -> String {
        [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")]
            .reduce(String(text)) { $0.replacingOccurrences(of: $1.0, with: $1.1) }
    }
}
