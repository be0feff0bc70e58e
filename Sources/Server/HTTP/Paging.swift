import Foundation
import HTTPTypes
import Hummingbird
import WireFormats
import Support

/// A list in pages. The field `Link` contains the URL of the next page, as at the Hub.
struct Paging: Sendable {
    private let limit: Int
    private let cursor: ByteText?
    private let path: String
    private let query: Query

    /// - Parameter maximum: the maximal number of entries of a page.
    init(_ request: Request, maximum: Int) {
        query = Query(request.uri.query ?? "")
        limit = min(max(query["limit"].flatMap { Int(decimal: $0) } ?? maximum, 1), maximum)
        cursor = query["cursor"].flatMap { Data(base64Encoded: $0) }.map {
            ByteText(String(decoding: $0, as: UTF8.self))
        }
        path = Self.base(request) + request.uri.path
    }

    /// The requested page, and the field with the URL of the next one.
    ///
    /// - Parameter key: the name of an entry. If the last entry of the previous page no longer exists, this page begins
    ///   with the first greater name.
    func page<Entry>(_ entries: [Entry], key: (Entry) -> String) -> (entries: ArraySlice<Entry>, fields: HTTPFields) {
        var start = 0
        if let cursor {
            start =
                entries.firstIndex { ByteText(key($0)) == cursor }.map { $0 + 1 }
                ?? entries.firstIndex { ByteText(key($0)) > cursor } ?? entries.count
        }
        let page = entries[start...].prefix(limit)
        guard page.endIndex < entries.count, let last = page.last else { return (page, [:]) }
        let next = query.with("cursor", Data(key(last).utf8).base64EncodedString())
        return (page, [.link: "<\(path)?\(next.text)>; rel=\"next\""])
    }

    /// The server's URL as the client addressed it: clients follow the link unchanged.
    private static func base(_ request: Request) -> String {
        let host = request.head.authority ?? ""
        guard !host.isEmpty, host.isASCIIWord(and: ".-_:[]")
        else { return "" }
        let isEncrypted =
            request.head.scheme == "https" || request.headers[HTTPField.Name("X-Forwarded-Proto")!] == "https"
        return "\(isEncrypted ? "https" : "http")://\(host)"
    }
}
