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
}

extension Fleet {
    /// Removes the objects from the bucket that no version needs. Pushes may run at the same time (`Ledger`), but only
    /// one collection runs at a time. Objects younger than the grace period, by the object store's clock, are kept.
    /// Blocks.
    ///
    /// - Throws: ``FleetError/busy(what:holder:)`` if another collection runs, or if a push ends during this one's
    ///   start.
    @discardableResult
    public func collectGarbage(graceSeconds: Int = 86_400, dryRun: Bool = false) throws -> BucketCollectionSummary {
        try BucketCollection(fleet: self, graceSeconds: graceSeconds, dryRun: dryRun).run()
    }
}

/// The steps of one collection.
private final class BucketCollection: Sendable {
    private let fleet: Fleet
    private let graceSeconds: Int
    private let dryRun: Bool
    private let id = UUID().uuidString
    private let lastBeat = Mutex(ContinuousClock.now)
    private var bucket: S3Bucket { fleet.bucket }

    init(fleet: Fleet, graceSeconds: Int, dryRun: Bool) {
        self.fleet = fleet
        self.graceSeconds = graceSeconds
        self.dryRun = dryRun
    }

    func run() throws -> BucketCollectionSummary {
        var summary = BucketCollectionSummary()
        let ledger = dryRun ? try Ledger.read(bucket) : try enter(&summary)
        defer {
            // An entry that cannot be removed expires within the hour.
            if !dryRun { _ = try? Ledger.change(bucket) { if $0.collection?.id == id { $0.collection = nil } } }
        }
        let moment = bucket.now - Double(graceSeconds)
        let needed = try needed(ledger)
        try remove("shards/", before: moment, needed.shards) { count, bytes in
            summary.shards += count
            summary.bytes += bytes
        }
        try remove("manifests/", before: moment, needed.manifests) { count, bytes in
            summary.manifests += count
            summary.bytes += bytes
        }
        for upload in try bucket.uploads("shards/") where upload.begun < moment {
            guard let digest = ContentDigest(hex: upload.name.dropFirst("shards/".count)),
                !needed.shards.contains(digest)
            else { continue }
            summary.uploads += 1
            if !dryRun { try bucket.abort(upload) }
        }
        for model in ledger.models {
            try beat()
            summary.others += try fleet.map.trim(model, before: moment, dryRun: dryRun)
        }
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
        if dryRun { return }
        let isDue = lastBeat.withLock { last in
            guard ContinuousClock.now - last > .seconds(Ledger.beatSeconds) else { return false }
            last = .now
            return true
        }
        guard isDue else { return }
        try Ledger.change(bucket) { ledger in
            guard ledger.collection?.id == id else { throw FleetError.givenUp(what: "the garbage collection") }
            ledger.collection?.seen = Int(bucket.now.timeIntervalSince1970)
        }
    }

    /// The shards and manifests that versions and pushes in progress need. If any of them cannot be read, the
    /// collection ends.
    private func needed(_ ledger: Ledger) throws -> (shards: Set<ContentDigest>, manifests: Set<ContentDigest>) {
        let needed = Mutex((shards: Set<ContentDigest>(), manifests: Set<ContentDigest>()))
        let shared = Shared(needed)
        let versions = try ledger.models.flatMap { try fleet.map.read($0).versions }
        try ParallelWork.run(Array(Set(versions.map(\.digest)))) { [fleet] digest in
            let shards = try RevisionShards(
                try S3Origin(fleet.bucket).manifest(digest), digest: digest, origin: fleet.origin)
            shared.value.withLock {
                $0.manifests.insert(digest)
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

    private func remove(
        _ prefix: String, before moment: Date, _ needed: Set<ContentDigest>,
        _ count: (_ count: Int, _ bytes: Int) -> Void
    ) throws {
        let (bucket, dryRun) = (bucket, dryRun)
        try bucket.list(prefix) { page in
            try beat()
            let garbage = page.filter { entry in
                guard entry.modified < moment, let digest = ContentDigest(hex: entry.name.dropFirst(prefix.count))
                else { return false }
                return !needed.contains(digest)
            }
            if !dryRun { try ParallelWork.run(garbage) { try bucket.delete($0.name) } }
            count(garbage.count, garbage.reduce(0) { $0 + $1.bytes })
        }
    }
}
