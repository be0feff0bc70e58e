import Foundation
import Glibc
import Origins
import WeightStore

/// A fleet: a bucket with the bytes and the version map, and optionally an etcd cluster that announces changes to all
/// nodes.
///
///     let fleet = try Fleet(origin: "s3://weights/prod", etcd: "https://etcd.example:2379")
///     try fleet.pushBlocking(try store.revision("org/name"), of: store)
public final class Fleet: Sendable {
    /// The bucket's URL.
    public let origin: String
    let bucket: S3Bucket
    let etcd: EtcdKeys?
    let map: VersionMap

    /// Creates the fleet without sending a request.
    ///
    /// - Parameters:
    ///   - origin: `s3://bucket/prefix`; credentials are found in the same places as for `S3Origin`.
    ///   - etcd: addresses of the cluster's members, separated by commas; nil without etcd.
    ///   - options: time limits and security of all connections.
    ///   - environment: the variables with credentials.
    /// - Throws: if an address cannot be used, or the credentials are missing.
    public init(
        origin: String, etcd: String? = nil, options: TransportOptions = TransportOptions(),
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        self.origin = origin
        bucket = try S3Bucket(origin, options: options, environment: environment)
        let place =
            origin.byteParts("?")[0].dropping(bytePrefix: "s3://")?.byteParts("/").filter { !$0.isEmpty }
            .joined(separator: "/") ?? ""
        self.etcd = try etcd.map {
            EtcdKeys(
                client: try EtcdClient($0, options: options, environment: environment), root: "weightstore/\(place)/")
        }
        map = VersionMap(bucket: bucket, etcd: self.etcd)
    }

    private init(_ other: Fleet, _ work: Work) {
        origin = other.origin
        bucket = other.bucket.bound(to: work)
        etcd = other.etcd
        map = VersionMap(bucket: bucket, etcd: etcd)
    }

    /// The same fleet; its requests to the bucket end soon after the work is cancelled.
    func bound(to work: Work) -> Fleet { Fleet(self, work) }

    /// This machine's host name.
    public static let host: String = {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()

    /// A model's versions and refs, read from the bucket.
    ///
    /// - Throws: ``FleetError/unknown(what:name:detail:)`` for a model that was never pushed;
    ///   ``FleetError/inconsistent(place:finding:)`` if objects of the bucket are missing.
    public func versions(of model: String) throws -> ModelVersions {
        let versions = try map.read(model)
        guard versions.generation > 0 else {
            // Never pushed, or lost: the ledger knows.
            try Ledger.read(bucket).check(versions, in: bucket)
            throw FleetError.unknown(what: "model", name: model)
        }
        return versions
    }

    /// The names of all models that were ever pushed.
    public func models() throws -> [String] { try Ledger.read(bucket).models }

    /// Creates the bucket, unless it exists.
    public func makeBucket() throws { try bucket.createBucket() }

    /// Moves a ref to another version.
    ///
    /// - Parameters:
    ///   - version: nil for the version that the ref named before.
    ///   - dryRun: changes nothing, and only returns the result.
    /// - Returns: the ref's new and old version.
    /// - Throws: ``FleetError/unknown(what:name:detail:)``; ``FleetError/refMoved(model:ref:expected:found:)`` if
    ///   another writer moved the ref at the same time.
    @discardableResult
    public func move(_ ref: String, of model: String, to version: Int?, dryRun: Bool = false) throws -> (
        to: Int, from: Int
    ) {
        let seen = try versions(of: model)
        guard let old = seen.refs[ref] else {
            throw FleetError.unknown(what: "ref", name: "\(model)@\(ref)")
        }
        guard let target = version ?? old.previous else {
            throw FleetError.unknown(
                what: "version", name: "\(model)@\(ref)", detail: "The ref has no previous version.")
        }
        let found = try seen.named("v\(target)")
        if dryRun { return (found.version, old.version) }
        _ = try map.change(model) { versions in
            guard versions.refs[ref]?.version == old.version else {
                // Another writer moved it: after a successful write of ours this closure is not called again.
                throw FleetError.refMoved(
                    model: model, ref: ref, expected: old.version, found: versions.refs[ref]?.version)
            }
            versions.move(ref, to: try versions.named("v\(target)").version)
        }
        return (found.version, old.version)
    }

    /// Removes a version from the map. Its shards become garbage, unless other versions need them.
    ///
    /// - Throws: ``FleetError/unusable(what:reason:)`` if a ref names the version.
    public func drop(_ version: Int, of model: String, dryRun: Bool = false) throws {
        func check(_ versions: ModelVersions) throws {
            _ = try versions.named("v\(version)")
            guard let ref = versions.refs.first(where: { $0.value.version == version })?.key else { return }
            throw FleetError.unusable(
                what: "\(model)@v\(version)", reason: "the ref \(ref) names it; move the ref first")
        }
        if dryRun { return try check(try versions(of: model)) }
        _ = try map.change(model) { versions in
            try check(versions)
            versions.versions.removeAll { $0.version == version }
            for ref in versions.refs.keys where versions.refs[ref]?.previous == version {
                versions.refs[ref]?.previous = nil
            }
        }
    }
}
