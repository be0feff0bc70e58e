import Foundation
import Glibc
import Origins
import WeightStore

/// A fleet: a bucket that holds the bytes and the version map, and, where there is one, the etcd that tells everybody.
///
///     let fleet = try Fleet(origin: "s3://weights/prod", etcd: "https://etcd.example:2379")
///     try fleet.pushBlocking("org/name", of: store)
public final class Fleet: Sendable {
    /// The bucket's URL.
    public let origin: String
    let bucket: S3Bucket
    let etcd: EtcdMap?
    let map: VersionMap

    /// - Parameters:
    ///   - origin: `s3://bucket/prefix`; credentials come from where `S3Origin` finds them.
    ///   - etcd: addresses of a cluster's members, with commas between them; nil without etcd.
    public init(
        origin: String, etcd: String? = nil, options: TransportOptions = TransportOptions(),
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) throws {
        self.origin = origin
        bucket = try S3Bucket(origin, options: options, environment: environment)
        let place = origin.prefix { $0 != "?" }.dropFirst("s3://".count).split(separator: "/").joined(separator: "/")
        self.etcd = try etcd.map {
            EtcdMap(
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

    /// The same fleet; its requests to the bucket end soon when the work is cancelled.
    func bound(to work: Work) -> Fleet { Fleet(self, work) }

    /// The name of this machine.
    public static let host: String = {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, name.count - 1)
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }()

    /// What the bucket says of a model.
    public func versions(of model: String) throws -> ModelVersions {
        let versions = try map.read(model)
        guard versions.generation > 0 else {
            throw FleetError.unknown(what: "model", name: model)
        }
        return versions
    }

    /// All models that ever had a push.
    public func models() throws -> [String] { try Ledger.read(bucket).models }

    /// Makes the bucket, unless it is there.
    public func makeBucket() throws { try bucket.make() }

    /// Lets a ref name another version.
    ///
    /// - Parameters:
    ///   - version: nil means the one that it named before.
    ///   - dryRun: say what would be, and change nothing.
    /// - Returns: what the ref names then, and named before.
    /// - Throws: ``FleetError/refMoved(model:ref:expected:found:)`` if somebody else moved it at the same time.
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
                what: "version", name: "\(model)@\(ref)", detail: "It named no other version before.")
        }
        let found = try seen.named("v\(target)")
        if dryRun { return (found.version, old.version) }
        _ = try map.change(model) { versions in
            guard versions.refs[ref]?.version == old.version else {
                // Not by us: what was ours is written already, and not looked at again.
                throw FleetError.refMoved(
                    model: model, ref: ref, expected: old.version, found: versions.refs[ref]?.version)
            }
            versions.move(ref, to: try versions.named("v\(target)").version)
        }
        return (found.version, old.version)
    }

    /// Takes a version out of the map. Its shards are garbage then, unless others have them.
    public func drop(_ version: Int, of model: String, dryRun: Bool = false) throws {
        func check(_ versions: ModelVersions) throws {
            _ = try versions.named("v\(version)")
            guard let ref = versions.refs.first(where: { $0.value.version == version })?.key else { return }
            throw FleetError.unusable(what: "\(model)@v\(version)", reason: "the ref \(ref) names it: move that first")
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
