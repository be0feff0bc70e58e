import Foundation
import Origins
import WeightStore

/// The result of a push, or of a dry run.
public struct PushSummary: Sendable, Codable {
    /// The model's name.
    public let model: String
    /// The number of the version that contains the revision.
    public let version: Int
    /// The manifest's digest.
    public let digest: ContentDigest
    /// The bucket's URL.
    public let origin: String
    /// Whether the version is new.
    public let created: Bool
    /// The refs that name the version.
    public let refs: [String]
    /// Number of all shards.
    public let shards: Int
    /// Size of all shards.
    public let bytes: Int
    /// Number of shards that the bucket lacked.
    public let uploadedShards: Int
    /// Size of these shards.
    public let uploaded: Int
    /// Whether etcd was updated; true without etcd.
    public let told: Bool
}

extension Fleet {
    /// Publishes a revision: uploads the shards that the bucket lacks and the manifest, then creates the model's next
    /// version, unless another publisher created it first, and moves the refs to it.
    ///
    /// An interrupted push changes nothing that others see; the next one resumes from the shards that are in the
    /// bucket.
    ///
    /// - Parameters:
    ///   - refs: the refs that will name the version.
    ///   - dryRun: changes nothing, and only returns the result.
    ///   - partBytes: a shard larger than twice this is uploaded in parts of this size (5 MiB or more).
    /// - Throws: ``FleetError/lostRace(model:version:digest:publisher:)`` if another publisher was faster;
    ///   ``FleetError/givenUp(what:)``; `CancellationError`.
    @discardableResult
    public func push(
        _ revision: Revision, of store: Store, refs: [String] = ["main"], dryRun: Bool = false,
        partBytes: Int = 8 << 20,
        work: Work = Work()
    ) async throws -> PushSummary {
        try await work.run { [self] in
            try pushBlocking(revision, of: store, refs: refs, dryRun: dryRun, partBytes: partBytes, work: work)
        }
    }

    /// Like ``push(_:of:refs:dryRun:partBytes:work:)``; blocks.
    @discardableResult
    public func pushBlocking(
        _ revision: Revision, of store: Store, refs: [String] = ["main"], dryRun: Bool = false,
        partBytes: Int = 8 << 20,
        work: Work = Work()
    ) throws -> PushSummary {
        let refs = try refs.map { try RefName.check($0) }
        return try Publisher(
            fleet: self, store: store, revision: revision, refs: refs, partBytes: partBytes, work: work
        ).run(dryRun: dryRun)
    }
}

/// The steps of one push.
private final class Publisher: Sendable {
    private let fleet: Fleet
    private let store: Store
    private let model: String
    private let digest: ContentDigest
    private let refs: [String]
    private let work: Work
    private let uploader: ShardUploader
    private let entry: LedgerEntry
    private let shards: RevisionShards

    init(
        fleet: Fleet, store: Store, revision: Revision, refs: [String], partBytes: Int, work: Work
    ) throws {
        self.fleet = fleet
        self.store = store
        model = revision.model
        digest = try revision.info().digest
        self.refs = refs
        self.work = work
        guard let shards = try store.shards(of: digest) else {
            throw StorageError.notFound(kind: "revision", name: revision.name, detail: "It was removed.")
        }
        self.shards = shards
        let entry = LedgerEntry(bucket: fleet.bucket, model: model, publisher: Fleet.host)
        self.entry = entry
        uploader = ShardUploader(bucket: fleet.bucket, store: store, partBytes: partBytes, work: work) {
            try entry.beat()
        }
    }

    func run(dryRun: Bool) throws -> PushSummary {
        let before = try fleet.map.read(model)
        if dryRun {
            let missing = try uploader.missing(try unknown(before))
            return summary(
                before.version(digest)?.version ?? before.last + 1, created: before.version(digest) == nil, missing,
                told: false)
        }
        try entry.enter(needing: shards.text)
        defer {
            // An entry that cannot be removed expires within the hour.
            try? entry.leave()
        }
        let missing = try uploader.missing(try unknown(before))
        try uploader.upload(missing)
        _ = try fleet.bucket.create(S3Origin.manifest(digest), shards.text)
        try entry.beat(force: true)
        let (number, told) = try create(version: before.last + 1)
        return summary(number, created: before.version(digest) == nil, missing, told: told)
    }

    /// The shards that the bucket may lack: it has those of the newest version as long as the version exists.
    private func unknown(_ versions: ModelVersions) throws -> [ContentDigest: Int] {
        guard let newest = versions.versions.last,
            // An unreadable manifest gives no information, and does not prevent a new version.
            let known = try store.shards(of: newest.digest) ?? (try? published(newest.digest))
        else { return shards.shards }
        return shards.shards.filter { known.shards[$0.key] == nil }
    }

    private func published(_ digest: ContentDigest) throws -> RevisionShards {
        try RevisionShards(try S3Origin(fleet.bucket).manifest(digest), digest: digest, origin: fleet.origin)
    }

    private func create(version number: Int) throws -> (version: Int, told: Bool) {
        let changed = try fleet.map.change(model) { versions in
            if versions.version(digest) == nil {
                guard versions.last + 1 == number else {
                    let other = versions.version(number) ?? versions.versions.last
                    throw FleetError.lostRace(
                        model: model, version: number, digest: other?.digest ?? digest,
                        publisher: other?.publisher ?? "another publisher")
                }
                versions.last = number
                versions.versions.append(
                    .init(
                        version: number, digest: digest, bytes: shards.bytes,
                        created: Int(fleet.bucket.now.timeIntervalSince1970), publisher: Fleet.host))
            }
            for ref in refs { versions.move(ref, to: versions.version(digest)!.version) }
        }
        return (changed.versions.version(digest)!.version, changed.told)
    }

    private func summary(_ version: Int, created: Bool, _ missing: [ContentDigest: Int], told: Bool) -> PushSummary {
        PushSummary(
            model: model, version: version, digest: digest, origin: fleet.origin, created: created, refs: refs,
            shards: shards.shards.count, bytes: shards.shards.values.reduce(0, +), uploadedShards: missing.count,
            uploaded: missing.values.reduce(0, +), told: told)
    }
}
