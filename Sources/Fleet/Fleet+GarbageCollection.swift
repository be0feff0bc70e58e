import Foundation
import Origins
import Synchronization
import WeightStore

/// The objects that a collection removed from the bucket, or would remove.
public struct BucketCollectionSummary: Sendable, Codable {
    /// Number of shards.
    public internal(set) var shards = 0
    /// Number of manifests.
    public internal(set) var manifests = 0
    /// Number of abandoned multipart uploads.
    public internal(set) var uploads = 0
    /// Number of old generations of the map and records of dead pushes.
    public internal(set) var others = 0
    /// Size of the shards and manifests together.
    public internal(set) var bytes = 0
    /// Number of shards in the bucket before the collection.
    public internal(set) var allShards = 0
    /// Whether a collection with the same parameters would be refused, because it would remove more than the allowed
    /// share of the shards.
    public internal(set) var isRefused = false
}

extension Fleet {
    /// The share of a bucket's shards that a collection may remove unless the caller allows more.
    public static let defaultRemovedShare = 0.1
    /// A collection that removes at most this many shards is never refused.
    static let freelyRemoved = 10

    /// Removes the objects from the bucket that no version needs. Pushes may run at the same time (`Ledger`), but only
    /// one collection runs at a time. Objects younger than the grace period, by the object store's clock, are kept.
    /// Blocks.
    ///
    /// A missing object never justifies a deletion: if objects of the version map or the ledger are missing, if they are
    /// older than others, or if a version's manifest cannot be read, nothing is removed.
    ///
    /// - Parameters:
    ///   - graceSeconds: the grace period.
    ///   - allowedShare: the share of the bucket's shards that may be removed, from 0 to 1.
    ///   - dryRun: removes nothing, and only returns the result.
    /// - Throws: ``FleetError/busy(what:holder:)`` if another collection runs, or if a push ends while this one starts;
    ///   ``FleetError/inconsistent(place:finding:)``; ``FleetError/removesTooMuch(origin:shards:of:bytes:allowed:)``;
    ///   `CancellationError`.
    @discardableResult
    public func collectGarbage(
        graceSeconds: Int = 86_400, allowedShare: Double = defaultRemovedShare, dryRun: Bool = false,
        work: Work = Work()
    ) throws -> BucketCollectionSummary {
        try BucketCollection(
            fleet: bound(to: work), graceSeconds: graceSeconds, allowedShare: allowedShare, dryRun: dryRun
        ).run()
    }

    /// The manifest of a version.
    ///
    /// - Throws: ``FleetError/inconsistent(place:finding:)`` if it is missing.
    func manifest(of version: ModelVersions.Version, _ model: String) throws -> RevisionShards {
        do {
            return try RevisionShards(
                try S3Origin(bucket).manifest(version.digest, bucket.work), digest: version.digest, origin: origin)
        } catch FetchError.notFound(_, _, 404) {
            throw FleetError.inconsistent(
                place: "\(bucket.url) \(S3Origin.manifest(version.digest))",
                finding: "does not exist, but \(model)@v\(version.version) needs it")
        }
    }

    /// The models that have objects below `models/`, from a listing, each with its generations in no order.
    func listedModels() throws -> [String: [Int]] {
        var models: [String: [Int]] = [:]
        try bucket.list("models/") { page in
            for entry in page {
                guard let path = entry.name.dropping(bytePrefix: "models/"), path.utf8.contains(UInt8(ascii: "/"))
                else {
                    continue
                }
                let model = FileSystem.parent(of: path)
                if model.isEmpty { continue }
                if let number = map.register(model).number(entry.name) {
                    models[model, default: []].append(number)
                } else if ByteText(entry.name) == ByteText(map.register(model).head) {
                    models[model, default: []] += []
                }
            }
        }
        return models
    }
}

/// The one place that removes shards and manifests from a bucket: the steps of one collection.
private final class BucketCollection: Sendable {
    /// Its requests end when the work is cancelled.
    private let fleet: Fleet
    private let graceSeconds: Int
    private let allowedShare: Double
    private let dryRun: Bool
    private let id = UUID().uuidString
    private let lastBeat = Mutex(ContinuousClock.now)
    private var bucket: S3Bucket { fleet.bucket }

    /// Seconds after which the object of a push that the ledger does not name is removed. A push that waits for a
    /// collection ends earlier.
    private static let forgottenSeconds = 86_400.0

    init(fleet: Fleet, graceSeconds: Int, allowedShare: Double, dryRun: Bool) {
        self.fleet = fleet
        self.graceSeconds = graceSeconds
        self.allowedShare = allowedShare
        self.dryRun = dryRun
    }

    private struct Garbage {
        /// Number of all objects, garbage or not.
        var all = 0
        var names: [String] = []
        var bytes = 0
    }

    func run() throws -> BucketCollectionSummary {
        var summary = BucketCollectionSummary()
        // Listed before the ledger is read: a push enters its model there before it creates its first version.
        let listed = try fleet.listedModels().keys.sorted()
        let ledger = dryRun ? try Ledger.read(bucket) : try enter(&summary)
        var seen: [ModelVersions] = []
        defer {
            if !dryRun {
                // An entry that cannot be removed expires within the hour.
                try? bucket.lastRequests { bucket in
                    try Ledger.change(bucket) { ledger in
                        if ledger.collection?.id == id { ledger.collection = nil }
                        for versions in seen { ledger.saw(versions.generation, of: versions.model) }
                    }
                }
            }
        }
        if let model = listed.first(where: { !ledger.models.contains($0) }) {
            throw FleetError.inconsistent(
                place: "\(bucket.url) \(Ledger.name)",
                finding: "does not name \(model), but the bucket has its versions")
        }
        let moment = bucket.now - Double(graceSeconds)
        let models = try ledger.models.map { model in
            let versions = try fleet.map.read(model)
            try ledger.check(versions, in: bucket)
            return versions
        }
        seen = models
        let needed = try needed(ledger, models)
        let shards = try garbage("shards/", before: moment, needed.shards)
        let manifests = try garbage("manifests/", before: moment, needed.manifests)
        summary.shards = shards.names.count
        summary.manifests = manifests.names.count
        summary.bytes = shards.bytes + manifests.bytes
        summary.allShards = shards.all
        summary.isRefused =
            shards.names.count > Fleet.freelyRemoved && Double(shards.names.count) > allowedShare * Double(shards.all)
        if summary.isRefused, !dryRun {
            throw FleetError.removesTooMuch(
                origin: fleet.origin, shards: shards.names.count, of: shards.all, bytes: summary.bytes,
                allowed: allowedShare)
        }
        try remove(shards)
        try remove(manifests)
        for upload in try bucket.uploads("shards/") where upload.begun < moment {
            guard let digest = ContentDigest(hex: upload.name.dropFirst("shards/".count)),
                !needed.shards.contains(digest)
            else { continue }
            summary.uploads += 1
            if !dryRun { try bucket.abort(upload) }
        }
        for versions in models {
            try beat()
            summary.others += try fleet.map.trim(versions.model, before: moment, dryRun: dryRun)
        }
        summary.others += try removeForgottenPushes(ledger)
        summary.others += try CASRegister(bucket: bucket, name: Ledger.name).trim(before: moment, dryRun: dryRun)
        return summary
    }

    /// Enters the collection in the ledger, and removes expired entries.
    private func enter(_ summary: inout BucketCollectionSummary) throws -> Ledger {
        var dead: [String] = []
        let ledger = try Ledger.change(bucket) { ledger in
            let now = bucket.now
            if let other = ledger.collection, !Ledger.isDead(other.seen, at: now) {
                throw FleetError.busy(
                    what: fleet.origin,
                    holder: "another garbage collection, on \(other.collector), is in progress; run this one after it")
            }
            dead = ledger.pushes.filter { Ledger.isDead($0.value.seen, at: now) }.map(\.key)
            for id in dead { ledger.pushes[id] = nil }
            ledger.collection = .init(id: id, collector: Fleet.host, seen: Int(now.timeIntervalSince1970))
        }
        for id in dead { try bucket.delete(LedgerEntry.needs(id)) }
        summary.others += dead.count
        return ledger
    }

    /// Renews this collection's entry if it is due, and throws if another process has removed it.
    private func beat() throws {
        try bucket.work.check()
        if dryRun { return }
        let isDue = lastBeat.withLock { last in
            guard ContinuousClock.now - last > .seconds(Ledger.beatSeconds) else { return false }
            last = .now
            return true
        }
        guard isDue else { return }
        try Ledger.change(bucket) { ledger in
            guard ledger.collection?.id == id else { throw FleetError.expired(what: "the garbage collection") }
            ledger.collection?.seen = Int(bucket.now.timeIntervalSince1970)
        }
    }

    /// The shards and manifests that versions and pushes in progress need. If any of them cannot be read, the
    /// collection ends.
    private func needed(_ ledger: Ledger, _ models: [ModelVersions]) throws -> (
        shards: Set<ContentDigest>, manifests: Set<ContentDigest>
    ) {
        let needed = Mutex((shards: Set<ContentDigest>(), manifests: Set<ContentDigest>()))
        let shared = Shared(needed)
        let versions = Dictionary(
            models.flatMap { model in model.versions.map { ($0.digest, (model: model.model, version: $0)) } },
            uniquingKeysWith: { first, _ in first })
        try ParallelWork.run(Array(versions.values)) { [self] version in
            try beat()
            let shards = try fleet.manifest(of: version.version, version.model)
            shared.value.withLock {
                $0.manifests.insert(shards.digest)
                $0.shards.formUnion(shards.shards.keys)
            }
        }
        for id in ledger.pushes.keys {
            // A push that has ended since then has created its version, or nothing.
            guard case .found(let object) = try bucket.get(LedgerEntry.needs(id), limit: 1 << 30) else {
                throw FleetError.busy(
                    what: fleet.origin, holder: "a push ended while this garbage collection started; run it again")
            }
            let digest = object.bytes.withUnsafeBytes { ContentDigest(of: $0) }
            let shards = try RevisionShards(object.bytes, digest: digest, origin: fleet.origin)
            shared.value.withLock {
                $0.manifests.insert(digest)
                $0.shards.formUnion(shards.shards.keys)
            }
        }
        return shared.value.withLock { $0 }
    }

    /// The objects that are listed, old enough, and not needed.
    private func garbage(_ prefix: String, before moment: Date, _ needed: Set<ContentDigest>) throws -> Garbage {
        var garbage = Garbage()
        try bucket.list(prefix) { page in
            try beat()
            for entry in page {
                guard let digest = entry.name.dropping(bytePrefix: prefix).flatMap({ ContentDigest(hex: $0) }) else {
                    continue
                }
                garbage.all += 1
                guard entry.modified < moment, !needed.contains(digest) else { continue }
                garbage.names.append(entry.name)
                garbage.bytes = garbage.bytes.adding(saturating: entry.bytes)
            }
        }
        return garbage
    }

    private func remove(_ garbage: Garbage) throws {
        if dryRun { return }
        try ParallelWork.run(garbage.names) { [self] name in
            try beat()
            try bucket.delete(name)
        }
    }

    /// Removes the objects of pushes that died before they were entered, or that the ledger has forgotten.
    private func removeForgottenPushes(_ ledger: Ledger) throws -> Int {
        let moment = bucket.now - Self.forgottenSeconds
        var forgotten: [String] = []
        try bucket.list("pushes/") { page in
            for entry in page where entry.modified < moment {
                if entry.name.dropping(bytePrefix: "pushes/").flatMap({ ledger.pushes[$0] }) == nil {
                    forgotten.append(entry.name)
                }
            }
        }
        if !dryRun { try ParallelWork.run(forgotten) { [bucket] in try bucket.delete($0) } }
        return forgotten.count
    }
}
