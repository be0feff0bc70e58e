import Foundation
import NIOHTTP1
import WeightStore

/// A bucket of an object store that speaks S3: shards under `shards/<sha256>`, revision manifests under
/// `manifests/<sha256>`, below the URL's path.
///
///     s3://bucket/prefix                      Amazon, or the endpoint that the environment names
///     s3://bucket/prefix?endpoint=http://127.0.0.1:7480&region=here&style=path
///
/// The bucket is part of the path (`style=path`) at an endpoint of one's own, and of the host (`style=virtual`) at
/// Amazon's, if the URL does not say otherwise.
public final class S3Origin: ManifestOrigin {
    public let url: String
    private let transport: Transport
    private let signer: SigV4
    /// `https://host`, and what stands before every object's name.
    private let base: Address
    private let prefix: String

    /// - Parameter environment: where credentials, region and endpoint are looked for.
    public init(
        _ url: String, options: TransportOptions = TransportOptions(),
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        guard let parts = URLComponents(string: url), parts.scheme == "s3", let bucket = parts.host, !bucket.isEmpty else {
            throw FetchError.unusable(url: url, reason: "a bucket's URL is s3://bucket/prefix")
        }
        var settings: [String: String] = [:]
        for item in parts.queryItems ?? [] { settings[item.name] = item.value }
        let credentials = try S3Credentials.find(for: url, environment)
        let region = settings["region"] ?? credentials.region
        let named = settings["endpoint"] ?? credentials.endpoint
        let endpoint = named ?? "https://s3.\(region).amazonaws.com"
        let isVirtual = settings["style"].map { $0 == "virtual" } ?? (named == nil)
        guard let address = Address(endpoint),
            let base = isVirtual
                ? Address(endpoint.replacingOccurrences(of: "://", with: "://\(bucket).")) : address
        else { throw FetchError.unusable(url: url, reason: "\(endpoint) is no endpoint") }
        self.url = url
        self.base = base
        let path = parts.path.split(separator: "/").joined(separator: "/")
        prefix = [isVirtual ? "" : bucket, path].filter { !$0.isEmpty }.joined(separator: "/")
        signer = SigV4(
            accessKey: credentials.accessKey, secretKey: credentials.secretKey, sessionToken: credentials.sessionToken,
            region: region)
        transport = Transport(options)
    }

    public func manifest(_ digest: Digest) throws -> [UInt8] {
        try transport.collect(resource("manifests", digest, bytes: nil), limit: BlobRequests.manifestBytes).text
    }

    public func fetch(_ request: ShardRequest, _ body: (Int, UnsafeRawBufferPointer) throws -> Void) throws {
        try BlobRequests.fetch(resource("shards", request.digest, bytes: request.bytes), request.bytes, transport, body)
    }

    /// Stores a shard or a manifest under its digest, unless it is there.
    ///
    /// - Parameter kind: `shards` or `manifests`.
    /// - Returns: false if it was there.
    @discardableResult
    public func put(_ bytes: [UInt8], as kind: String, _ digest: Digest) throws -> Bool {
        var resource = resource(kind, digest, bytes: nil, method: .PUT, body: bytes)
        resource.explain = { answer, address in
            answer.status == 412 ? .refused(url: address.name, status: 412, expected: "200", attempts: 1) : nil
        }
        do {
            _ = try transport.collect(resource, limit: 1 << 20)
            return true
        } catch FetchError.refused(_, 412, _, _) {
            return false
        }
    }

    private func resource(
        _ kind: String, _ digest: Digest, bytes: Int?, method: HTTPMethod = .GET, body: [UInt8]? = nil
    ) -> Transport.Resource {
        let name = [prefix, kind, digest.hex].filter { !$0.isEmpty }.joined(separator: "/")
        let path = "/" + Address.encode(name, keepingSlashes: true)
        let (base, signer) = (base, signer)
        return Transport.Resource(
            what: "\(kind.dropLast()) \(digest.short)",
            request: { range in
                guard let address = Address(base.origin + path) else {
                    throw FetchError.unusable(url: base.name, reason: "it can't be followed by \(path)")
                }
                var headers = HTTPHeaders()
                // Ranges are signed, too.
                if let range { headers.add(name: "range", value: "bytes=\(range.lowerBound)-\(range.upperBound - 1)") }
                if method == .PUT { headers.add(name: "if-none-match", value: "*") }
                signer.sign(
                    method: method.rawValue, host: base.host, path: path, body: body, headers: &headers)
                return Transport.Request(method: method, address: address, headers: headers, body: body)
            },
            secrets: ["authorization", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256", "host"], bytes: bytes,
            explain: Self.explain)
    }

    /// S3 says what is wrong in XML: the code is enough.
    @Sendable private static func explain(_ answer: Transport.Answer, _ address: Address) -> FetchError? {
        let text = String(decoding: answer.text, as: UTF8.self)
        let code = text.split(separator: "<Code>").dropFirst().first?.split(separator: "<").first.map(String.init) ?? ""
        return answer.status == 403 ? .unauthorized(url: address.name, status: 403, message: code) : nil
    }
}
