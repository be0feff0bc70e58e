import Foundation
import Origins
import Synchronization
import WeightStore

/// What a collection removed from the bucket, or would remove.
public struct BucketCollectionSummary: Sendable, Codable {
    public internal(set) var shards = 0
    public internal(set) var manifests = 0
    /// Uploads in parts that nobody went on with.
    public internal(set) var uploads = 0
    /// Old generations of the map, notes of dead pushes.
    public internal(set) var others = 0
    /// Of shards and manifests.
    public internal(set) var bytes = 0
}

extension Fleet {
    /// Removes from the bucket what no version needs. Safe beside pushes (`Ledger`), and beside other collections, of which
    /// one at a time runs. What is younger than the grace period stays, by the object store's clock. Blocks.
    ///
    /// - Throws: ``FleetError/busy(what:holder:)`` if another collection runs.
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
            // One that stays is a dead one's within the hour.
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
        summary.others += try Register(bucket: bucket, name: Ledger.name).trim(before: moment, dryRun: dryRun)
        return summary
    }

    /// Enters the collection in the ledger, and takes out what is dead.
    private func enter(_ summary: inout BucketCollectionSummary) throws -> Ledger {
        var dead: [String] = []
        let ledger = try Ledger.change(bucket) { ledger in
            let now = bucket.now
            if let other = ledger.collection, !Ledger.isDead(other.seen, at: now) {
                throw FleetError.busy(
                    what: fleet.origin, holder: "another collection, on \(other.collector), is under way")
            }
            dead = ledger.pushes.filter { Ledger.isDead($0.value.seen, at: now) }.map(\.key)
            for id in dead { ledger.pushes[id] = nil }
            ledger.collection = .init(id: id, collector: Fleet.host, seen: Int(now.timeIntervalSince1970))
        }
        for id in dead { try bucket.delete(LedgerEntry.needs(id)) }
        summary.others += dead.count
        return ledger
    }

    /// Says that this collection lives, and sees whether others think so.
    private func beat() throws {
        if dryRun { return }
        let isDue = lastBeat.withLock { last in
            guard ContinuousClock.now - last > .seconds(Ledger.beatSeconds) else { return false }
            last = .now
            return true
        }
        guard isDue else { return }
        try Ledger.change(bucket) { ledger in
            guard ledger.collection?.id == id else { throw FleetError.givenUp(what: "the collection") }
            ledger.collection?.seen = Int(bucket.now.timeIntervalSince1970)
        }
    }

    /// What versions name, and pushes under way. Whatever of it can't be read ends the collection.
    private func needed(_ ledger: Ledger) throws -> (shards: Set<ContentDigest>, manifests: Set<ContentDigest>) {
        let needed = Mutex((shards: Set<ContentDigest>(), manifests: Set<ContentDigest>()))
        let shared = Shared(needed)
        let versions = try ledger.models.flatMap { try fleet.map.read($0).versions }
        try Lanes.run(Array(Set(versions.map(\.digest)))) { [fleet] digest in
            let shards = try RevisionShards(
                try S3Origin(fleet.bucket).manifest(digest), digest: digest, origin: fleet.origin)
            shared.value.withLock {
                $0.manifests.insert(digest)
                $0.shards.formUnion(shards.shards.keys)
            }
        }
        for id in ledger.pushes.keys {
            // One that has ended since has its version, or nothing.
            guard case .found(let object) = try bucket.get(LedgerEntry.needs(id), limit: 1 << 30) else {
                throw FleetError.busy(what: fleet.origin, holder: "a push has just ended")
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
            if !dryRun { try Lanes.run(garbage) { try bucket.delete($0.name) } }
            count(garbage.count, garbage.reduce(0) { $0 + $1.bytes })
        }
    }
}
