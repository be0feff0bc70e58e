import Foundation
import Origins

/// The versions and refs of the fleet's models: kept in the bucket, told by etcd.
///
/// The bucket is the truth: a change is made there, by compare-and-swap (`Register`), and is made then. etcd tells
/// everybody at once: the same text, under a key for each model. If a publisher dies before it has told etcd, the next one
/// who finds the bucket ahead does; if etcd loses all it has, nothing is lost.
struct VersionMap: Sendable {
    let bucket: S3Bucket
    let etcd: EtcdMap?

    private func register(_ model: String) -> Register { Register(bucket: bucket, name: "models/\(model)") }

    /// - Returns: what the bucket says; without any versions for a model that was never pushed.
    func read(_ model: String) throws -> ModelVersions {
        guard let state = try register(model).read() else { return ModelVersions(model: model) }
        return try decode(state, model)
    }

    /// - Returns: what the bucket says, if that is newer than what is known.
    func read(_ model: String, after known: Int, head: inout String?) throws -> ModelVersions? {
        try register(model).read(after: known, head: &head).map { try decode($0, model) }
    }

    /// Changes a model's versions, again and again until nobody else changed them in between.
    ///
    /// - Parameter body: makes the change to what is there now; may be called several times.
    /// - Returns: the versions as they are then, and whether etcd was told.
    func change(_ model: String, _ body: (inout ModelVersions) throws -> Void) throws -> (
        versions: ModelVersions, told: Bool
    ) {
        while true {
            let before = try read(model)
            var after = before
            try body(&after)
            if after == before { return (before, tell(before)) }
            after.generation = before.generation + 1
            after.writer = UUID().uuidString
            if try register(model).write(after.encoded(), as: after.generation) { return (after, tell(after)) }
        }
    }

    /// - Returns: false if etcd could not be told: nodes hear of it when they look into the bucket.
    @discardableResult
    func tell(_ versions: ModelVersions) -> Bool {
        guard let etcd, versions.generation > 0 else { return etcd == nil }
        do {
            try etcd.tell(versions)
            return true
        } catch {
            return false
        }
    }

    /// Removes old generations.
    func trim(_ model: String, before moment: Date, dryRun: Bool) throws -> Int {
        try register(model).trim(before: moment, dryRun: dryRun)
    }

    private func decode(_ state: Register.State, _ model: String) throws -> ModelVersions {
        let place = "\(bucket.url) models/\(model)"
        let versions = try ModelVersions(decoding: state.bytes, place: place)
        guard versions.model == model, versions.generation == state.generation else {
            throw FleetError.malformed(place: place, reason: "these are the versions of another model or generation")
        }
        return versions
    }
}
