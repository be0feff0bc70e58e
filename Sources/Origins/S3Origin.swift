import Foundation
import WeightStore

/// A bucket of an object store (`S3Bucket` says how it is named): shards under `shards/<sha256>`, revision manifests
/// under `manifests/<sha256>`.
public final class S3Origin: ManifestOrigin {
    public let url: String
    package let bucket: S3Bucket

    /// - Parameter environment: where credentials, region and endpoint are looked for.
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

    /// Where a shard is in the bucket.
    package static func shard(_ digest: ContentDigest) -> String { "shards/\(digest.hex)" }

    /// Where a manifest is in the bucket.
    package static func manifest(_ digest: ContentDigest) -> String { "manifests/\(digest.hex)" }

    public func manifest(_ digest: ContentDigest, _ work: Work = Work()) throws -> [UInt8] {
        guard
            case .found(let object) = try bucket.bound(to: work).get(
                Self.manifest(digest), limit: BlobRequests.manifestBytes)
        else {
            throw FetchError.notFound(what: "manifest \(digest.short)", url: url, status: 404)
        }
        return object.bytes
    }

    public func fetch(
        _ request: ShardRequest, _ work: Work, _ body: (Int, UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let resource = bucket.resource(
            Self.shard(request.digest), what: "shard \(request.digest.short)", bytes: request.bytes)
        try bucket.withClock {
            try BlobRequests.fetch(resource, request, bucket.transport, work, body)
        }
    }
}
