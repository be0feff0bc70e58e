import Crypto
import Foundation
import NIOHTTP1
import WeightStore

/// AWS Signature Version 4 for S3 ("Authenticating Requests: Using the Authorization Header" in its manual).
///
/// The signature covers the SHA-256 of the body, or of zero bytes if there is no body.
struct SigV4: Sendable {
    let accessKey: String
    let secretKey: String
    let sessionToken: String?
    let region: String
    var service = "s3"

    /// The SHA-256 of zero bytes, in hexadecimal.
    static let emptyBody = Hex.encode(SHA256.hash(data: [UInt8]()))

    /// Adds the headers that sign a request.
    ///
    /// - Parameters:
    ///   - path: percent-encoded, as it is sent.
    ///   - query: names and values, not encoded.
    ///   - now: part of the signature; a server rejects clocks that differ by more than 15 minutes.
    func sign(
        method: String, host: String, path: String, query: [(String, String)] = [], body: [UInt8]? = nil,
        headers: inout HTTPHeaders, now: Date = Date()
    ) {
        let stamp = Self.stamp(now)
        let day = stamp.prefix(8)
        let bodyDigest = body.map { Hex.encode(SHA256.hash(data: $0)) } ?? Self.emptyBody
        headers.replaceOrAdd(name: "host", value: host)
        headers.replaceOrAdd(name: "x-amz-date", value: stamp)
        headers.replaceOrAdd(name: "x-amz-content-sha256", value: bodyDigest)
        if let sessionToken { headers.replaceOrAdd(name: "x-amz-security-token", value: sessionToken) }
        let signed = headers.map { (name: $0.name.lowercased(), value: $0.value) }
            .filter {
                $0.name == "host" || $0.name == "range" || $0.name == "if-none-match" || $0.name.hasPrefix("x-amz-")
            }
            .sorted { $0.name < $1.name }
        let names = signed.map(\.name).joined(separator: ";")
        let canonicalQuery = query.map { (PercentEncoding.encode($0.0), PercentEncoding.encode($0.1)) }.sorted {
            $0 < $1
        }
        .map { "\($0.0)=\($0.1)" }.joined(separator: "&")
        let canonical = [
            method, path, canonicalQuery,
            signed.map { "\($0.name):\($0.value.trimmingCharacters(in: .whitespaces))\n" }.joined(), names, bodyDigest,
        ].joined(separator: "\n")
        let scope = "\(day)/\(region)/\(service)/aws4_request"
        let text = "AWS4-HMAC-SHA256\n\(stamp)\n\(scope)\n\(Hex.encode(SHA256.hash(data: Array(canonical.utf8))))"
        var key = SymmetricKey(data: Array("AWS4\(secretKey)".utf8))
        for part in [String(day), region, service, "aws4_request"] {
            key = SymmetricKey(data: HMAC<SHA256>.authenticationCode(for: Array(part.utf8), using: key))
        }
        let signature = Hex.encode(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key))
        headers.replaceOrAdd(
            name: "authorization",
            value: "AWS4-HMAC-SHA256 Credential=\(accessKey)/\(scope), SignedHeaders=\(names), Signature=\(signature)")
    }

    /// `20130524T000000Z`.
    private static func stamp(_ moment: Date) -> String {
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = TimeZone(identifier: "GMT")!
        let parts = calendar.dateComponents([.year, .month, .day, .hour, .minute, .second], from: moment)
        return String(
            format: "%04d%02d%02dT%02d%02d%02dZ", parts.year!, parts.month!, parts.day!, parts.hour!, parts.minute!,
            parts.second!)
    }
}
