import Foundation
import Origins
import Synchronization
import WeightStore

/// A fault of a bucket.
public struct BucketProblem: Sendable, Codable, Equatable {
    /// The kinds of faults.
    public enum Kind: String, Sendable, Codable {
        /// A manifest or shard that a version needs does not exist.
        case missing
        /// A manifest or shard has another size or digest.
        case damaged
        /// The version map and the ledger contradict each other, or objects of them are missing.
        case inconsistent
    }

    /// The kind of the fault.
    public let kind: Kind
    /// The object's name, relative to the bucket's prefix.
    public let object: String
    /// What was found.
    public let detail: String
    /// The versions that need the object: `org/name@v3`.
    public internal(set) var versions: [String]
}

/// The result of a check of a bucket.
public struct BucketVerification: Sendable, Codable {
    /// The bucket's URL.
    public let origin: String
    /// Number of models.
    public internal(set) var models = 0
    /// Number of versions.
    public internal(set) var versions = 0
    /// Number of shards that the versions need.
    public internal(set) var shards = 0
    /// Size of these shards.
    public internal(set) var bytes = 0
    /// Number of bytes that were read and compared with their digests.
    public internal(set) var bytesRead = 0
    /// The faults; empty if every version is whole.
    public internal(set) var problems: [BucketProblem] = []
}

extension Fleet {
    /// Checks that the bucket has every manifest and shard of every version, in its size. Changes nothing. Blocks.
    ///
    /// A shard that a listing lacks is looked up before it counts as missing.
    ///
    /// - Parameters:
    ///   - deep: also reads all shards, and compares them with their digests.
    ///   - work: counts bytes if `deep` is set, otherwise shards.
    /// - Throws: a failed request's error; `CancellationError`.
    public func verifyBlocking(deep: Bool = false, work: Work = Work()) throws -> BucketVerification {
        try BucketVerifier(fleet: bound(to: work), deep: deep).run()
    }
}

/// The steps of one check.
private final class BucketVerifier: Sendable {
    private let fleet: Fleet
    private let deep: Bool
    private var bucket: S3Bucket { fleet.bucket }
    private var work: Work { fleet.bucket.work }

    init(fleet: Fleet, deep: Bool) {
        self.fleet = fleet
        self.deep = deep
    }

    private struct Needs {
        /// The size of each shard.
        var shards: [ContentDigest: Int] = [:]
        /// The manifests that need it.
        var manifests: [ContentDigest: [ContentDigest]] = [:]
    }

    func run() throws -> BucketVerification {
        var result = BucketVerification(origin: fleet.origin)
        let (models, findings) = try readMap()
        result.problems = findings
        result.models = models.count
        let labels = labels(models)
        result.versions = models.reduce(0) { $0 + $1.versions.count }

        let (needs, broken) = try readManifests(Array(labels.keys))
        result.shards = needs.shards.count
        result.bytes = needs.shards.values.reduce(0, +)
        work.expect(deep ? result.bytes : result.shards)
        var listed: [ContentDigest: Int] = [:]
        try bucket.list("shards/") { page in
            try work.check()
            for entry in page {
                guard let digest = ContentDigest(hex: entry.name.dropFirst("shards/".count)) else { continue }
                listed[digest] = entry.bytes
            }
        }
        let (damaged, read) = try checkShards(needs, listed)
        result.bytesRead = read

        var problems: [(BucketProblem, [ContentDigest])] = broken.map { ($0.problem, [$0.manifest]) }
        problems += damaged.map { ($0.problem, needs.manifests[$0.shard] ?? []) }
        if !problems.isEmpty {
            // A version that was dropped in the meantime needs nothing any more.
            let current = self.labels(try readMap().models)
            result.problems += problems.compactMap { problem, manifests in
                var problem = problem
                problem.versions = Set(manifests.flatMap { current[$0] ?? [] }).sorted()
                return problem.versions.isEmpty ? nil : problem
            }
        }
        result.problems.sort { ($0.object, $0.detail) < ($1.object, $1.detail) }
        return result
    }

    /// For the digest of each manifest, the names of the versions that have it.
    private func labels(_ models: [ModelVersions]) -> [ContentDigest: [String]] {
        Dictionary(
            models.flatMap { model in model.versions.map { ($0.digest, ["\(model.model)@v\($0.version)"]) } },
            uniquingKeysWith: +)
    }

    /// All models that can be read, and the faults of the others and of the ledger.
    private func readMap() throws -> (models: [ModelVersions], problems: [BucketProblem]) {
        var problems: [BucketProblem] = []
        func attempt<Value>(_ object: String, _ body: () throws -> Value) throws -> Value? {
            do {
                return try body()
            } catch let error as FleetError {
                switch error {
                case .inconsistent(_, let finding):
                    problems.append(.init(kind: .inconsistent, object: object, detail: finding, versions: []))
                case .malformed(_, let reason):
                    problems.append(.init(kind: .damaged, object: object, detail: reason, versions: []))
                default: throw error
                }
                return nil
            }
        }
        // Listed before the ledger is read: a push enters its model there before it creates its first version.
        let listed = try fleet.listedModels().keys
        let ledger = try attempt(Ledger.name) { try Ledger.read(bucket) }
        if let ledger {
            for model in listed.sorted() where !ledger.models.contains(model) {
                problems.append(
                    .init(
                        kind: .inconsistent, object: Ledger.name,
                        detail: "does not name \(model), but the bucket has its versions", versions: []))
            }
        }
        let models = try Set(listed).union(ledger?.models ?? []).sorted().compactMap { model in
            try work.check()
            return try attempt("models/\(model)") {
                let versions = try fleet.map.read(model)
                try ledger?.check(versions, in: bucket)
                return versions
            }
        }
        return (models.filter { $0.generation > 0 }, problems)
    }

    private func readManifests(_ digests: [ContentDigest]) throws -> (
        Needs, broken: [(problem: BucketProblem, manifest: ContentDigest)]
    ) {
        let found = Mutex((needs: Needs(), broken: [(problem: BucketProblem, manifest: ContentDigest)]()))
        let shared = Shared(found)
        try ParallelWork.run(digests) { [self] digest in
            let name = S3Origin.manifest(digest)
            func broken(_ kind: BucketProblem.Kind, _ detail: String) {
                shared.value.withLock {
                    $0.broken.append((.init(kind: kind, object: name, detail: detail, versions: []), digest))
                }
            }
            do {
                let shards = try RevisionShards(
                    try S3Origin(bucket).manifest(digest, work), digest: digest, origin: fleet.origin)
                shared.value.withLock {
                    for (shard, bytes) in shards.shards {
                        $0.needs.shards[shard] = bytes
                        $0.needs.manifests[shard, default: []].append(digest)
                    }
                }
            } catch FetchError.notFound(_, _, 404) {
                broken(.missing, "does not exist")
            } catch FetchError.wrongDigest(_, _, let found) {
                broken(.damaged, "has the digest \(found)")
            } catch let error as FetchError where error.isMalformed {
                broken(.damaged, "\(error)")
            } catch let error as StorageError {
                broken(.damaged, "\(error)")
            }
        }
        return shared.value.withLock { ($0.needs, $0.broken) }
    }

    /// - Returns: the faults, and the number of bytes that were read.
    private func checkShards(_ needs: Needs, _ listed: [ContentDigest: Int]) throws -> (
        [(problem: BucketProblem, shard: ContentDigest)], read: Int
    ) {
        let found = Mutex((problems: [(problem: BucketProblem, shard: ContentDigest)](), read: 0))
        let shared = Shared(found)
        try ParallelWork.run(needs.shards.sorted { $0.key < $1.key }) { [self] digest, bytes in
            try work.check()
            let name = S3Origin.shard(digest)
            func problem(_ kind: BucketProblem.Kind, _ detail: String) {
                shared.value.withLock {
                    $0.problems.append((.init(kind: kind, object: name, detail: detail, versions: []), digest))
                }
            }
            if listed[digest] != bytes {
                // A listing may lag.
                guard let metadata = try bucket.metadata(of: name) else { return problem(.missing, "does not exist") }
                guard metadata.bytes == bytes else {
                    return problem(.damaged, "\(metadata.bytes) bytes, expected \(bytes)")
                }
            }
            guard deep else { return work.advance(1) }
            let stored = try S3Origin(bucket).storedDigest(of: digest, bytes: bytes, work)
            shared.value.withLock { $0.read += stored == nil ? 0 : bytes }
            switch stored {
            case digest: break
            case nil:
                guard let metadata = try bucket.metadata(of: name) else { return problem(.missing, "does not exist") }
                problem(.damaged, "\(metadata.bytes) bytes, expected \(bytes)")
            case let other?: problem(.damaged, "has the digest \(other)")
            }
        }
        return shared.value.withLock { ($0.problems, $0.read) }
    }
}

extension FetchError {
    fileprivate var isMalformed: Bool {
        if case .malformed = self { true } else { false }
    }
}
