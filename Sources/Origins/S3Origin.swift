import Crypto
import Foundation
import WeightStore

/// A bucket of an object store (`S3Bucket` defines its URL): shards under `shards/<sha256>`, revision manifests under
/// `manifests/<sha256>`.
public final class S3Origin: ManifestOrigin {
    /// The bucket's URL.
    public let url: String
    package let bucket: S3Bucket

    /// Creates the origin without sending a request.
    ///
    /// - Parameters:
    ///   - url: `s3://bucket/prefix`, with optional query items `endpoint`, `region` and `style`.
    ///   - options: time limits and security of the connections.
    ///   - environment: contains or locates credentials, region and endpoint.
    /// - Throws: ``FetchError/unusable(url:reason:)``.
    public convenience init(
        _ url: String, options: TransportOptions = TransportOptions(),
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        self.init(try S3Bucket(url, options: options, environment: environment))
    }

    package init(_ bucket: S3Bucket) {
        url = bucket.url
        self.bucket = bucket
    }

    /// The name of a shard's object.
    package static func shard(_ digest: ContentDigest) -> String { "shards/\(digest.hex)" }

    /// The name of a manifest's object.
    package static func manifest(_ digest: ContentDigest) -> String { "manifests/\(digest.hex)" }

    /// Reads a manifest.
    ///
    /// - Throws: ``FetchError``; `CancellationError`.
    public func manifest(_ digest: ContentDigest, _ work: Work = Work()) throws -> [UInt8] {
        guard
            case .found(let object) = try bucket.bound(to: work).get(
                Self.manifest(digest), limit: BlobRequests.manifestBytes)
        else {
            throw FetchError.notFound(what: "manifest \(digest.short)", url: url, status: 404)
        }
        return object.bytes
    }

    /// Fetches a shard, and passes its bytes to `body` in order.
    ///
    /// - Throws: ``FetchError``; `CancellationError`; an error that `body` throws.
    public func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let resource = bucket.resource(
            Self.shard(request.digest), what: "shard \(request.digest.short)", bytes: request.bytes)
        try bucket.withClock {
            try BlobRequests.fetch(resource, request, bucket.transport, work, body)
        }
    }

    /// Looks up the manifest and a sample of the shards (HEAD), or all shards if the manifest is absent.
    ///
    /// - Throws: ``FetchError``; `CancellationError`.
    public func check(_ request: OriginCheckRequest, _ work: Work) throws -> OriginCheckResult {
        let bucket = bucket.bound(to: work)
        let hasManifest = try bucket.metadata(of: Self.manifest(request.digest)) != nil
        return try BlobRequests.check(request, samples: hasManifest, work) { shard in
            try bucket.metadata(of: Self.shard(shard.digest))?.bytes
        }
    }

    /// Reads a shard and hashes its bytes.
    ///
    /// - Parameter bytes: the size of the object.
    /// - Returns: the digest of the object's bytes; nil if there is no such object, or it has another size.
    package func storedDigest(of digest: ContentDigest, bytes: Int, _ work: Work) throws -> ContentDigest? {
        var hasher = SHA256()
        let request = ShardRequest(digest: digest, bytes: bytes, model: "", commit: "", path: "", pieces: [])
        do {
            if bytes > 0 { try fetch(request, work) { hasher.update(bufferPointer: $1) } }
        } catch FetchError.notFound {
            return nil
        } catch FetchError.wrongLength {
            return nil
        }
        return ContentDigest(hasher.finalize())
    }
}
