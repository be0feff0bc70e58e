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
    public let isAnnounced: Bool

    private enum CodingKeys: String, CodingKey {
        case model, version, digest, origin, created, refs, shards, bytes, uploadedShards, uploaded
        case isAnnounced = "told"
    }
}

extension Fleet {
    /// Publishes a revision: uploads the shards that the bucket lacks and the manifest, then creates the model's next
    /// version, unless another publisher created it first, and moves the refs to it. Before that, each shard of the
    /// revision is looked up in the bucket, so no version lacks a shard.
    ///
    /// An interrupted push changes nothing that others see; the next one resumes from the shards that are in the
    /// bucket.
    ///
    /// - Parameters:
    ///   - refs: the refs that will name the version.
    ///   - dryRun: changes nothing, and only returns the result.
    ///   - partBytes: a shard larger than twice this is uploaded in parts of this size (5 MiB or more).
    /// - Throws: ``FleetError/lostRace(model:version:digest:publisher:)`` if another publisher was faster;
    ///   ``FleetError/expired(what:)``; ``FleetError/inconsistent(place:finding:)`` if objects of the bucket were lost;
    ///   `CancellationError`.
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
            fleet: bound(to: work), store: store, revision: revision, refs: refs, partBytes: partBytes, work: work
        ).run(dryRun: dryRun)
    }

    /// Checks a published version, and uploads what the bucket lacks of it. Creates no version and moves no ref. Blocks.
    ///
    /// - Parameters:
    ///   - revision: the version's revision, in a store that has its bytes or can fetch them.
    ///   - deep: also compares the digests of all its objects in the bucket; reads them.
    ///   - dryRun: uploads nothing, and only returns the result.
    ///   - partBytes: as for ``push(_:of:refs:dryRun:partBytes:work:)``.
    /// - Returns: `uploadedShards` counts the shards that were missing or damaged.
    /// - Throws: ``FleetError/unknown(what:name:detail:)`` if the revision is not published; what
    ///   ``push(_:of:refs:dryRun:partBytes:work:)`` throws.
    @discardableResult
    public func healBlocking(
        _ revision: Revision, of store: Store, deep: Bool = false, dryRun: Bool = false, partBytes: Int = 8 << 20,
        work: Work = Work()
    ) throws -> PushSummary {
        try Publisher(
            fleet: bound(to: work), store: store, revision: revision, refs: [], partBytes: partBytes, work: work
        ).heal(deep: deep, dryRun: dryRun)
    }
}

/// The steps of one push.
private final class Publisher: Sendable {
    /// Its requests end when the work is cancelled.
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
            try checkMap()
            let known = before.version(digest)
            return summary(
                known?.version ?? before.last + 1, created: known == nil, try uploader.missing(shards.shards),
                isAnnounced: false)
        }
        return try entered { ledger, leaving in
            // Versions may have been dropped and their shards removed while the push waited. From here on a collection
            // keeps what the push needs.
            let current = try fleet.map.read(model)
            try ledger.check(current, in: fleet.bucket)
            let missing = try upload(deep: false)
            try entry.beat(force: true)
            let published = try create(version: before.last + 1)
            leaving = published.generation
            return summary(published.version, created: published.isNew, missing, isAnnounced: published.isAnnounced)
        }
    }

    func heal(deep: Bool, dryRun: Bool) throws -> PushSummary {
        func version() throws -> Int {
            guard let version = try fleet.versions(of: model).version(digest) else {
                throw FleetError.unknown(
                    what: "version", name: "\(model), manifest \(digest.short)",
                    detail: "The revision is not published.")
            }
            return version.version
        }
        if dryRun {
            try checkMap()
            let number = try version()
            return summary(
                number, created: false, try uploader.missing(shards.shards, deep: deep), isAnnounced: true)
        }
        return try entered { ledger, _ in
            try ledger.check(try fleet.map.read(model), in: fleet.bucket)
            let number = try version()
            return summary(number, created: false, try upload(deep: deep), isAnnounced: true)
        }
    }

    /// Runs `body` while the push is entered in the ledger.
    ///
    /// - Parameter body: `generation` is a generation of the model's versions that exists after it.
    private func entered(
        _ body: (_ ledger: Ledger, _ generation: inout Int) throws -> PushSummary
    ) throws -> PushSummary {
        let ledger = try entry.enter(needing: shards.text)
        var generation = 0
        defer {
            // An entry that cannot be removed expires within the hour.
            try? entry.leave(after: generation)
        }
        return try body(ledger, &generation)
    }

    private func checkMap() throws {
        let ledger = try Ledger.read(fleet.bucket)
        try ledger.check(try fleet.map.read(model), in: fleet.bucket)
    }

    /// Uploads the shards that the bucket lacks, then the manifest.
    ///
    /// - Returns: the uploaded shards, with their sizes in bytes.
    private func upload(deep: Bool) throws -> [ContentDigest: Int] {
        let missing = try uploader.missing(shards.shards, deep: deep)
        try uploader.upload(missing)
        let name = S3Origin.manifest(digest)
        guard try !fleet.bucket.create(name, shards.text) else { return missing }
        var isWhole = try fleet.bucket.metadata(of: name)?.bytes == shards.text.count
        if isWhole, deep {
            guard case .found(let object) = try fleet.bucket.get(name, limit: max(shards.text.count, 1)) else {
                throw FetchError.notFound(what: "manifest \(digest.short)", url: fleet.bucket.url, status: 404)
            }
            isWhole = object.bytes == shards.text
        }
        if !isWhole { try fleet.bucket.put(name, shards.text) }
        return missing
    }

    private func create(version number: Int) throws -> (version: Int, generation: Int, isNew: Bool, isAnnounced: Bool) {
        var version = number
        var isNew = false
        let changed = try fleet.map.change(model) { versions in
            if let known = versions.version(digest) {
                (version, isNew) = (known.version, false)
            } else {
                guard versions.last + 1 == number else {
                    let other = versions.version(number)
                    throw FleetError.lostRace(
                        model: model, version: number, digest: other?.digest,
                        publisher: other?.publisher ?? "another publisher")
                }
                (version, isNew) = (number, true)
                versions.last = number
                versions.versions.append(
                    .init(
                        version: number, digest: digest, bytes: shards.bytes,
                        created: Int(fleet.bucket.now.timeIntervalSince1970), publisher: Fleet.host))
            }
            for ref in refs { versions.move(ref, to: version) }
        }
        return (version, changed.versions.generation, isNew, changed.isAnnounced)
    }

    private func summary(
        _ version: Int, created: Bool, _ missing: [ContentDigest: Int], isAnnounced: Bool
    ) -> PushSummary {
        PushSummary(
            model: model, version: version, digest: digest, origin: fleet.origin, created: created, refs: refs,
            shards: shards.shards.count, bytes: shards.shards.values.reduce(0, +), uploadedShards: missing.count,
            uploaded: missing.values.reduce(0, +), isAnnounced: isAnnounced)
    }
}
