import Foundation
import NIOHTTP1
import WeightStore

/// Another WeightStore that serves: `peer+http://host:port` or `peer+https://…`. It gives shards and manifests by digest:
/// `GET /shards/<sha256>`, `GET /manifests/<sha256>`.
public final class PeerOrigin: ManifestOrigin {
    public let url: String
    private let transport: Transport
    private let base: Address
    private let token: String?

    /// - Parameter token: what the peer asks for; nil means `WEIGHTSTORE_TOKEN`, if it is set.
    public convenience init(_ url: String, token: String? = nil, options: TransportOptions = TransportOptions()) throws
    {
        try self.init(url, token: token, transport: Transport(options))
    }

    /// - Parameter transport: may be that of other peers, too: each keeps its own copy of all authorities that it trusts.
    package init(_ url: String, token: String? = nil, transport: Transport) throws {
        guard url.hasPrefix("peer+"), let base = Address(Self.trimmed(url)) else {
            throw FetchError.unusable(url: url, reason: "a peer's URL is peer+http://host:port")
        }
        try transport.options.check(base, for: url)
        self.url = url
        self.base = base
        self.token = token ?? ProcessInfo.processInfo.environment["WEIGHTSTORE_TOKEN"]
        self.transport = transport
    }

    private static func trimmed(_ url: String) -> String {
        url.hasSuffix("/") ? trimmed(String(url.dropLast())) : String(url.dropFirst("peer+".count))
    }

    public func manifest(_ digest: ContentDigest, _ work: Work = Work()) throws -> [UInt8] {
        try manifest(digest, waiting: false, work)
    }

    public func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try fetch(request, waiting: false, work, body)
    }

    /// Seconds that a peer is asked to wait for what it does not have yet.
    package static let longestWait = 8

    /// - Parameter waiting: let the peer wait for what is on its way to it; status 503 says that it still is.
    package func manifest(_ digest: ContentDigest, waiting: Bool, _ work: Work) throws -> [UInt8] {
        try transport.collect(
            resource("manifests", digest, bytes: nil, waiting), limit: BlobRequests.manifestBytes, work
        ).text
    }

    /// - Parameter waiting: let the peer wait for what is on its way to it; status 503 says that it still is.
    package func fetch(
        _ request: ShardRequest, waiting: Bool, _ work: Work,
        _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try BlobRequests.fetch(
            resource("shards", request.digest, bytes: request.bytes, waiting), request, transport, work,
            body)
    }

    private func resource(_ kind: String, _ digest: ContentDigest, bytes: Int?, _ waiting: Bool) -> Transport.Resource {
        let address = Address("\(base.name)/\(kind)/\(digest.hex)\(waiting ? "?wait=\(Self.longestWait)" : "")") ?? base
        var headers = HTTPHeaders()
        if let token, !token.isEmpty { headers.add(name: "authorization", value: "Bearer \(token)") }
        let request = Transport.Request(address: address, headers: headers)
        return Transport.Resource(what: "\(kind.dropLast()) \(digest.short)", request: { _ in request }, bytes: bytes)
    }
}
