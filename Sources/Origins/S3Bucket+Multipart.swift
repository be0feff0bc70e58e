import Crypto
import Foundation
import NIOHTTP1
import WeightStore
import WireFormats

extension S3Bucket {
    /// A multipart upload in progress, which the service keeps until it is completed or aborted.
    package struct Upload: Sendable {
        package let name: String
        package let id: String
        package let begun: Date
    }

    /// Starts a multipart upload.
    package func begin(_ name: String) throws -> Upload {
        let answer = try ask(name, .POST, query: [("uploads", "")], body: [])
        guard let id = XMLText.values(of: "UploadId", in: String(decoding: answer.text, as: UTF8.self)).first else {
            throw FetchError.malformed(url: url, expected: "an upload's id", found: "none")
        }
        return Upload(name: name, id: XMLText.plain(id), begun: now)
    }

    /// The unfinished uploads of objects whose names begin with `prefix`.
    package func uploads(_ prefix: String) throws -> [Upload] {
        var uploads: [Upload] = []
        var more: [(String, String)] = []
        while true {
            let text = String(
                decoding: try requestListing(
                    [("uploads", ""), ("encoding-type", "url"), ("prefix", full(prefix))] + more
                )
                .text,
                as: UTF8.self)
            uploads += XMLText.values(of: "Upload", in: text).compactMap { entry in
                func field(_ name: String) -> String { XMLText.values(of: name, in: entry).first ?? "" }
                guard let name = field("Key").removingPercentEncoding.flatMap(relative), !field("UploadId").isEmpty
                else { return nil }
                return Upload(
                    name: name, id: XMLText.plain(field("UploadId")),
                    begun: HTTPDate.parse(field("Initiated")) ?? now)
            }
            guard XMLText.values(of: "IsTruncated", in: text).first == "true",
                let key = XMLText.values(of: "NextKeyMarker", in: text).first,
                let id = XMLText.values(of: "NextUploadIdMarker", in: text).first
            else { return uploads }
            more = [
                ("key-marker", key.removingPercentEncoding ?? key), ("upload-id-marker", XMLText.plain(id)),
            ]
        }
    }

    /// The tags of the uploaded parts, by their numbers from 1.
    package func parts(of upload: Upload) throws -> [Int: String] {
        var parts: [Int: String] = [:]
        var marker = "0"
        while true {
            let answer = try ask(upload.name, query: [("uploadId", upload.id), ("part-number-marker", marker)])
            let text = String(decoding: answer.text, as: UTF8.self)
            for part in XMLText.values(of: "Part", in: text) {
                guard let number = XMLText.values(of: "PartNumber", in: part).first.flatMap({ Int(decimal: $0) }),
                    let tag = XMLText.values(of: "ETag", in: part).first
                else { continue }
                parts[number] = XMLText.plain(tag)
            }
            guard XMLText.values(of: "IsTruncated", in: text).first == "true",
                let next = XMLText.values(of: "NextPartNumberMarker", in: text).first, next != marker
            else { return parts }
            marker = String(next)
        }
    }

    /// Uploads a part.
    ///
    /// - Parameter number: from 1.
    /// - Returns: the part's tag.
    package func put(_ bytes: [UInt8], part number: Int, of upload: Upload) throws -> String {
        let answer = try ask(
            upload.name, .PUT, query: [("partNumber", "\(number)"), ("uploadId", upload.id)], body: bytes)
        guard let tag = answer.headers.first(name: "etag") else {
            throw FetchError.malformed(url: url, expected: "a part's tag", found: "none")
        }
        return tag
    }

    /// The tag that the service gives a part with these bytes, unless it encrypts them.
    package static func tag(of bytes: [UInt8]) -> String {
        "\"\(Hex.encode(Insecure.MD5.hash(data: bytes)))\""
    }

    /// Completes an upload: the service creates the object from its parts.
    ///
    /// - Parameter tags: by number, without a gap.
    package func complete(_ upload: Upload, _ tags: [Int: String]) throws {
        let parts = tags.sorted { $0.key < $1.key }
            .map { "<Part><PartNumber>\($0.key)</PartNumber><ETag>\($0.value)</ETag></Part>" }.joined()
        let body = "<CompleteMultipartUpload>\(parts)</CompleteMultipartUpload>"
        let answer = try ask(upload.name, .POST, query: [("uploadId", upload.id)], body: Array(body.utf8))
        // The service may report a failure after status 200.
        let text = String(decoding: answer.text, as: UTF8.self)
        if let code = XMLText.values(of: "Code", in: text).first {
            throw FetchError.malformed(url: url, expected: "a completed upload", found: String(code))
        }
    }

    /// Aborts an upload, and removes its parts. An upload that has ended is not an error.
    package func abort(_ upload: Upload) throws {
        do {
            _ = try ask(upload.name, .DELETE, query: [("uploadId", upload.id)])
        } catch FetchError.notFound {}
    }
}
