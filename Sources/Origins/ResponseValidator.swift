import NIOHTTP1
import WeightStore
import WireFormats

/// Decides from the head of a response whether its body is the requested one.
struct ResponseValidator: Sendable {
    let address: Address
    let range: Range<Int>?
    /// The size of the whole resource, if it is known.
    let bytes: Int?
    let isPage: Bool
    /// The largest body that is not a range, in bytes.
    let limit: Int

    func plan(_ head: HTTPResponseHead) throws -> ResponseSink.Plan {
        let status = Int(head.status.code)
        guard status == 200 || status == 206 else { return Transport.keepingText }
        let type = head.headers.first(name: "content-type") ?? ""
        if !isPage, type.lowercased().hasPrefix("text/html") {
            throw FetchError.pageInsteadOfFile(url: address.name, status: status, contentType: type)
        }
        let coding = head.headers.first(name: "content-encoding") ?? "identity"
        guard coding == "identity" else {
            throw FetchError.malformed(
                url: address.name, expected: "an unencoded body", found: "content-encoding \(coding)")
        }
        guard let range else { return .keep(limit: limit) }
        let length = head.headers.first(name: "content-length").flatMap { Int(decimal: $0) }
        let whole = bytes.map(String.init) ?? "*"
        let expected = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(whole)"
        if status == 200 {
            // A server without ranges is sufficient if the whole resource is requested.
            guard range == 0..<(bytes ?? length ?? -1) else {
                if let bytes, let length, length != bytes {
                    throw FetchError.wrongLength(url: address.name, status: status, expected: bytes, found: length)
                }
                throw FetchError.wrongRange(
                    url: address.name, status: status, expected: expected, found: "the whole file")
            }
        } else {
            let found = head.headers.first(name: "content-range") ?? "no range"
            let parts = found.byteParts("/", maxSplits: 1)
            guard parts.count == 2, parts[0] == expected.byteParts("/")[0] else {
                throw FetchError.wrongRange(url: address.name, status: status, expected: expected, found: found)
            }
            if let bytes, let total = Int(decimal: parts[1]), total != bytes {
                throw FetchError.wrongLength(url: address.name, status: status, expected: bytes, found: total)
            }
        }
        if let length, length != range.count {
            throw FetchError.wrongLength(url: address.name, status: status, expected: range.count, found: length)
        }
        return .fill(range.count)
    }
}
