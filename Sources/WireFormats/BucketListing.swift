import Foundation
import Support

/// A page of a bucket's listing (`ListObjectsV2` with `encoding-type=url`).
package struct BucketListing {
    /// An object.
    package struct Object: Sendable, Equatable {
        /// The whole key.
        package let key: String
        package let bytes: Int
        package let modified: Date
    }

    /// The page is not a listing, or one of its entries cannot be read.
    package struct Malformed: Error {
        package let expected: String
        package let found: String
    }

    package let objects: [Object]
    /// The token of the next page; nil for the last page.
    package let next: String?

    /// Parses a page. A part of a listing never passes for the whole.
    package init(_ body: [UInt8]) throws(Malformed) {
        let text = String(decoding: body, as: UTF8.self)
        guard text.contains("<ListBucketResult"), text.contains("</ListBucketResult>") else {
            throw Malformed(expected: "a listing", found: String(decoding: body.prefix(80), as: UTF8.self))
        }
        objects = try XMLText.values(of: "Contents", in: text).map { entry throws(Malformed) in
            func field(_ name: String) -> String { XMLText.values(of: name, in: entry).first ?? "" }
            guard let key = field("Key").removingPercentEncoding, let bytes = Int(decimal: field("Size")),
                let modified = HTTPDate.parse(field("LastModified"))
            else {
                throw Malformed(
                    expected: "key, size and date of an object",
                    found: String(decoding: entry.utf8.prefix(200), as: UTF8.self))
            }
            return Object(key: key, bytes: bytes, modified: modified)
        }
        guard XMLText.values(of: "IsTruncated", in: text).first == "true" else {
            next = nil
            return
        }
        guard let next = XMLText.values(of: "NextContinuationToken", in: text).first else {
            throw Malformed(expected: "a continuation token", found: "none")
        }
        self.next = XMLText.plain(next)
    }
}
