import Foundation
import NIOHTTP1
import WeightStore

extension S3Bucket {
    /// An object in a listing.
    package struct Entry: Sendable {
        package let name: String
        package let bytes: Int
        package let modified: Date
    }

    /// Lists the objects whose names begin with `prefix`, page by page. A listing may lag behind writes and deletions:
    /// no decision about an object is safe because the object is listed, or because it is not.
    ///
    /// - Throws: ``FetchError/malformed(url:expected:found:)`` if a page cannot be read as a whole: a part of a listing
    ///   must not pass for the whole.
    package func list(_ prefix: String, _ body: ([Entry]) throws -> Void) throws {
        var more: [(String, String)] = []
        while true {
            try work.check()
            let answer = try askBucket(
                [("list-type", "2"), ("encoding-type", "url"), ("prefix", full(prefix))] + more)
            let text = String(decoding: answer.text, as: UTF8.self)
            guard text.contains("<ListBucketResult"), text.contains("</ListBucketResult>") else {
                throw FetchError.malformed(url: url, expected: "a listing", found: String(text.prefix(80)))
            }
            try body(
                XMLText.values(of: "Contents", in: text).map { entry in
                    func field(_ name: String) -> String {
                        XMLText.values(of: name, in: entry).first.map(String.init) ?? ""
                    }
                    guard let key = field("Key").removingPercentEncoding, let name = relative(key),
                        let bytes = Int(field("Size")),
                        let modified = HTTPDate.parse(field("LastModified"))
                    else {
                        throw FetchError.malformed(
                            url: url, expected: "key, size and date of an object", found: String(entry.prefix(200)))
                    }
                    return Entry(name: name, bytes: bytes, modified: modified)
                })
            guard XMLText.values(of: "IsTruncated", in: text).first == "true" else { return }
            guard let next = XMLText.values(of: "NextContinuationToken", in: text).first else {
                throw FetchError.malformed(url: url, expected: "the place of the next page", found: "none")
            }
            more = [("continuation-token", XMLText.plain(next))]
        }
    }

    /// Whether an object is listed whose name begins with `prefix`. One request.
    package func lists(_ prefix: String) throws -> Bool {
        struct Found: Error {}
        do {
            try list(prefix) { if !$0.isEmpty { throw Found() } }
            return false
        } catch is Found {
            return true
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
