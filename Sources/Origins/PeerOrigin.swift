import Foundation
import NIOHTTP1
import WeightStore
import WireFormats

/// A WeightStore server: `peer+http://host:port` or `peer+https://…`. It serves shards and manifests by digest:
/// `GET /shards/<sha256>`, `GET /manifests/<sha256>`.
public final class PeerOrigin: ManifestOrigin {
    /// The peer's URL.
    public let url: String
    private let transport: Transport
    private let base: Address
    private let token: String?

    /// Creates the origin without sending a request.
    ///
    /// - Parameter token: the token that the peer requires; nil for `WEIGHTSTORE_TOKEN`, if it is set.
    /// - Throws: ``FetchError/unusable(url:reason:)``, ``FetchError/badCredentials(url:reason:)``.
    public convenience init(_ url: String, token: String? = nil, options: TransportOptions = TransportOptions()) throws
    {
        try self.init(url, token: token, transport: Transport(options))
    }

    /// - Parameter transport: may be shared by several peers: each transport has its own copy of all trust roots.
    package init(_ url: String, token: String? = nil, transport: Transport) throws {
        guard url.hasBytePrefix("peer+"), let base = Address(Self.trimmed(url)) else {
            throw FetchError.unusable(
                url: url, reason: "not a peer's URL; expected peer+https://host:port or peer+http://host:port")
        }
        try transport.options.check(base, for: url)
        self.url = url
        self.base = base
        let token = token ?? ProcessInfo.processInfo.environment["WEIGHTSTORE_TOKEN"]
        try HubToken.check(token, for: url)
        self.token = token
        self.transport = transport
    }

    private static func trimmed(_ url: String) -> String {
        url.dropping(byteSuffix: "/").map(trimmed) ?? url.dropping(bytePrefix: "peer+") ?? url
    }

    /// Reads a manifest.
    ///
    /// - Throws: ``FetchError``; `CancellationError`.
    public func manifest(_ digest: ContentDigest, _ work: Work = Work()) throws -> [UInt8] {
        try manifest(digest, waiting: false, work)
    }

    /// Fetches a shard, and passes its bytes to `body` in order.
    ///
    /// - Throws: ``FetchError``; `CancellationError`; an error that `body` throws.
    public func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try fetch(request, waiting: false, work, body)
    }

    /// Seconds for which a peer waits at most for a shard or manifest that it is fetching itself.
    package static let longestWait = 8

    /// - Parameter waiting: allows the peer to wait for a manifest that it is fetching; status 503: it is still
    ///   fetching it.
    package func manifest(_ digest: ContentDigest, waiting: Bool, _ work: Work) throws -> [UInt8] {
        try transport.collect(
            resource("manifests", digest, bytes: nil, waiting), limit: BlobRequests.manifestBytes, work
        ).text
    }

    /// - Parameter waiting: allows the peer to wait for a shard that it is fetching; status 503: it is still fetching
    ///   it.
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

    /// Looks up the manifest and a sample of the shards (HEAD), or all shards if the manifest is absent.
    ///
    /// - Throws: ``FetchError``; `CancellationError`.
    public func check(_ request: OriginCheckRequest, _ work: Work) throws -> OriginCheckResult {
        let hasManifest = try bytes(of: "manifests", request.digest, work) != nil
        return try BlobRequests.check(request, samples: hasManifest, work) { shard in
            try self.bytes(of: "shards", shard.digest, work)
        }
    }

    /// The size of a shard or manifest; nil if the peer does not hold it.
    private func bytes(of kind: String, _ digest: ContentDigest, _ work: Work) throws -> Int? {
        var resource = self.resource(kind, digest, bytes: nil, false)
        let get = resource.request
        resource.request = { range in
            var request = try get(range)
            request.method = .HEAD
            return request
        }
        do {
            let answer = try transport.collect(resource, limit: BlobRequests.manifestBytes, work)
            return answer.headers.first(name: "content-length").flatMap { Int($0) } ?? -1
        } catch FetchError.notFound {
            return nil
        }
    }
}
