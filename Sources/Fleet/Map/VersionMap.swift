import Foundation
import Origins

/// The versions and refs of the fleet's models: stored in the bucket, announced by etcd.
///
/// The bucket is the truth: a change is valid once it is written there, by compare-and-swap (`CASRegister`). etcd
/// announces it to all nodes at once: the same text, under one key per model. If a publisher dies before it updates
/// etcd, the next process that finds the bucket ahead does so. If etcd loses all its data, nothing is lost.
struct VersionMap: Sendable {
    let bucket: S3Bucket
    let etcd: EtcdKeys?

    func register(_ model: String) -> CASRegister { CASRegister(bucket: bucket, name: "models/\(model)") }

    /// - Returns: the bucket's entry; without any versions for a model that was never pushed.
    /// - Throws: ``FleetError/inconsistent(place:finding:)`` if objects are missing.
    func read(_ model: String) throws -> ModelVersions {
        guard let state = try register(model).read() else { return ModelVersions(model: model) }
        return try decode(state, model)
    }

    /// - Returns: the bucket's entry, if it is newer than generation `known`.
    func read(_ model: String, after known: Int, head: inout String?) throws -> ModelVersions? {
        try register(model).read(after: known, head: &head).map { try decode($0, model) }
    }

    /// Changes a model's versions. If another writer has changed them in between, tries again.
    ///
    /// - Parameter body: applies the change to the current versions; may be called several times.
    /// - Returns: the versions after the change, and whether etcd was updated.
    /// - Throws: ``FleetError/busy(what:holder:)`` if other writers win too often; `CancellationError` when the bucket's
    ///   work is cancelled; what `body` and ``read(_:)`` throw.
    func change(_ model: String, _ body: (inout ModelVersions) throws -> Void) throws -> (
        versions: ModelVersions, isAnnounced: Bool
    ) {
        var attempts = ChangeAttempts("\(bucket.url) models/\(model)")
        while true {
            let before = try read(model)
            var after = before
            try body(&after)
            if after == before { return (before, announce(before)) }
            after.generation = before.generation + 1
            after.writer = UUID().uuidString
            if try register(model).write(after.encoded(), as: after.generation) { return (after, announce(after)) }
            try attempts.lost(bucket.work)
        }
    }

    /// Updates etcd.
    ///
    /// - Returns: false if that failed: nodes then receive the change when they next poll the bucket.
    @discardableResult
    func announce(_ versions: ModelVersions) -> Bool {
        guard let etcd, versions.generation > 0 else { return etcd == nil }
        do {
            try etcd.announce(versions, bucket.work)
            return true
        } catch {
            return false
        }
    }

    /// Removes old generations.
    func trim(_ model: String, before moment: Date, dryRun: Bool) throws -> Int {
        try register(model).trim(before: moment, dryRun: dryRun)
    }

    func decode(_ state: CASRegister.State, _ model: String) throws -> ModelVersions {
        let place = "\(bucket.url) models/\(model)"
        let versions = try ModelVersions(decoding: state.bytes, place: place)
        guard versions.model == model, versions.generation == state.generation else {
            throw FleetError.malformed(place: place, reason: "contains the versions of another model or generation")
        }
        return versions
    }
}
