import Foundation
import Glibc
import Origins
import TestSupport
import WeightStore
@testable import Fleet

/// A bucket of the test's own, an etcd if it wants one, and stores that publish.
final class FleetFixture: Sendable {
    let directory: TemporaryDirectory
    let objects: ObjectStore
    let etcd: Etcd?
    let bucket: String
    /// The authority that all nodes trust; nil with plain http.
    let authority: CertificateAuthority?

    convenience init(etcd: Bool = false, encrypted: Bool = false) throws {
        try self.init(etcdAt: etcd ? "127.0.0.1" : nil, encrypted: encrypted)
    }

    /// - Parameters:
    ///   - address: where its etcd listens; nil without one.
    ///   - encrypted: whether its clients use https.
    init(etcdAt address: String?, encrypted: Bool = false) throws {
        directory = try TemporaryDirectory()
        objects = try ObjectStore.shared.get()
        let authority = encrypted ? try CertificateAuthority(directory) : nil
        self.authority = authority
        self.etcd = try address.map { [directory] in
            try Etcd(directory("etcd"), address: $0, certificate: try authority?.issue("etcd-server", for: "IP:\($0)"))
        }
        bucket = "test-" + UUID().uuidString.lowercased().prefix(8)
        try fleet().makeBucket()
    }

    /// - Parameter port: of the gateway, or of a proxy in front.
    func url(port: Int? = nil, host: String = "127.0.0.1") -> String {
        "s3://\(bucket)/fleet?endpoint=http://\(host):\(port ?? objects.port)&style=path"
    }

    func fleet(port: Int? = nil, attempts: Int = 4) throws -> Fleet {
        var options = TransportOptions()
        options.attempts = attempts
        options.firstDelaySeconds = 0.05
        options.allowsPlainHTTP = true
        if let authority { options.trust = TrustRoots(environment: authority.environment) }
        return try Fleet(origin: url(port: port), etcd: etcd?.url, options: options, environment: objects.credentials)
    }

    /// A store with a model in it.
    func publisher(_ name: String, _ models: [TestModel], as model: String = "org/model") throws -> Store {
        let store = try Store(at: directory(name), create: true)
        for (index, content) in models.enumerated() {
            let source = directory("\(name)-source-\(index)")
            try content.write(to: source)
            var request = ImportRequest(source: source)
            request.name = model
            try store.importModelBlocking(request)
        }
        return store
    }

    /// The tool, with everything it needs in its environment.
    func tool(_ store: String, port: Int? = nil) -> Tool {
        var tool = Tool(store: directory(store))
        tool.environment = objects.credentials.merging(["WEIGHTSTORE_ORIGIN": url(port: port), "HOME": directory("")]) {
            $1
        }
        if let etcd { tool.environment["WEIGHTSTORE_ETCD"] = etcd.url }
        if let authority { tool.environment.merge(authority.environment) { $1 } }
        return tool
    }

    /// Whether every byte of every version in the map is in the bucket.
    func checkVersions(of model: String = "org/model") throws -> ModelVersions {
        let fleet = try fleet()
        let versions = try fleet.versions(of: model)
        for version in versions.versions {
            let shards = try RevisionShards(
                try S3Origin(fleet.bucket).manifest(version.digest), digest: version.digest, origin: fleet.origin)
            for (digest, bytes) in shards.shards {
                guard try fleet.bucket.metadata(of: S3Origin.shard(digest))?.bytes == bytes else {
                    throw Waited(what: "v\(version.version) lacks \(digest)")
                }
            }
        }
        return versions
    }
}
