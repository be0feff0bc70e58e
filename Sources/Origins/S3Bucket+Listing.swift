import Foundation
import NIOHTTP1
import WeightStore
import WireFormats

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
            let answer = try requestListing(
                [("list-type", "2"), ("encoding-type", "url"), ("prefix", full(prefix))] + more)
            let page: BucketListing
            do {
                page = try BucketListing(answer.text)
            } catch {
                throw FetchError.malformed(url: url, expected: error.expected, found: error.found)
            }
            try body(
                page.objects.map { object in
                    guard let name = relative(object.key) else {
                        throw FetchError.malformed(
                            url: url, expected: "objects below \(full(prefix))",
                            found: String(decoding: object.key.utf8.prefix(200), as: UTF8.self))
                    }
                    return Entry(name: name, bytes: object.bytes, modified: object.modified)
                })
            guard let next = page.next else { return }
            more = [("continuation-token", next)]
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
