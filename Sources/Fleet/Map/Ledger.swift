import Foundation
import Origins
import Support

/// The state shared by all processes that change the bucket: the models, the pushes in progress, and the garbage
/// collection in progress.
///
/// The ledger makes collection safe without relying on a listing of the bucket. A push records the shards that it needs
/// (`pushes/<id>`, a manifest) and enters itself here *before* it checks which of them the bucket has; it waits while a
/// collection is entered. A collection enters itself and reads the pushes in one step, and keeps the shards that they
/// need. So a collection never removes a shard that a push has found.
///
/// Entries expire by the object store's clock.
struct Ledger: Codable, Sendable, Equatable {
    struct Push: Codable, Sendable, Equatable {
        var model: String
        var publisher: String
        /// The last sign of life: seconds since 1970.
        var seen: Int
    }

    struct Collection: Codable, Sendable, Equatable {
        var id: String
        var collector: String
        var seen: Int
    }

    /// Seconds without a sign of life after which an entry counts as dead.
    static let deadSeconds = 3600
    /// Seconds between signs of life.
    static let beatSeconds = 60

    private static let form = "ledger 1"
    static let name = "ledger"

    private var weightstore = form
    var generation = 0
    var writer = ""
    /// All models that were ever pushed. Their versions are found through this list, not through a listing of the
    /// bucket.
    var models: [String] = []
    var pushes: [String: Push] = [:]
    var collection: Collection?
    /// For each model, a generation of its versions that was seen in the bucket: the map is never older than that.
    /// Absent from ledgers of older programs, which also remove it.
    var seen: [String: Int]?
    /// Whether a repair found no model, although the bucket has shards.
    var isRepairedEmpty: Bool?

    /// Records that a generation of a model's versions exists.
    mutating func saw(_ generation: Int, of model: String) {
        guard generation > (seen?[model] ?? 0) else { return }
        seen = (seen ?? [:]).merging([model: generation]) { $1 }
    }

    /// - Throws: ``FleetError/inconsistent(place:finding:)`` if versions are missing that were seen before.
    func check(_ versions: ModelVersions, in bucket: S3Bucket) throws {
        guard let known = seen?[versions.model], versions.generation < known else { return }
        throw FleetError.inconsistent(
            place: "\(bucket.url) models/\(versions.model)",
            finding: versions.generation == 0
                ? "does not exist, but the ledger names its generation \(known)"
                : "ends at generation \(versions.generation), but the ledger names generation \(known)")
    }

    /// Reads the ledger.
    ///
    /// - Returns: an empty ledger for an empty bucket.
    /// - Throws: ``FleetError/inconsistent(place:finding:)`` if objects of the ledger are missing, or if it names no model
    ///   although the bucket has shards or versions.
    static func read(_ bucket: S3Bucket) throws -> Ledger {
        let ledger = try readUnchecked(bucket)
        guard ledger.models.isEmpty, ledger.isRepairedEmpty != true else { return ledger }
        for prefix in ["shards/", "models/"] where try bucket.lists(prefix) {
            // The first push enters its model before it uploads a shard.
            let later = try readUnchecked(bucket)
            guard later.models.isEmpty else { return later }
            throw FleetError.inconsistent(
                place: "\(bucket.url) \(name)",
                finding: (later.generation == 0 ? "does not exist" : "names no model")
                    + ", but the bucket has objects below \(prefix)")
        }
        return ledger
    }

    private static func readUnchecked(_ bucket: S3Bucket) throws -> Ledger {
        guard let state = try CASRegister(bucket: bucket, name: name).read() else { return Ledger() }
        return try decode(state, bucket)
    }

    static func decode(_ state: CASRegister.State, _ bucket: S3Bucket) throws -> Ledger {
        let ledger: Ledger
        do {
            ledger = try JSONDecoder().decode(Ledger.self, from: Data(state.bytes))
        } catch {
            throw FleetError.malformed(place: "\(bucket.url) \(name)", reason: "not a ledger (\(error))")
        }
        guard ledger.weightstore == form else {
            throw FleetError.malformed(
                place: "\(bucket.url) \(name)",
                reason: "unsupported format \"\(ledger.weightstore)\"; expected \"\(form)\"")
        }
        guard ledger.generation == state.generation else {
            throw FleetError.malformed(
                place: "\(bucket.url) \(name)",
                reason: "generation \(state.generation) contains the text of generation \(ledger.generation)")
        }
        return ledger
    }

    func encoded() throws -> [UInt8] { Array(try JSONEncoder().encode(self)) }

    /// Changes the ledger. If another writer has changed it in between, tries again.
    ///
    /// - Parameter body: applies the change to the current ledger; may be called several times.
    /// - Returns: the ledger after the change.
    /// - Throws: ``FleetError/busy(what:holder:)`` if other writers win too often; `CancellationError` when the bucket's
    ///   work is cancelled; what ``read(_:)`` throws.
    @discardableResult
    static func change(_ bucket: S3Bucket, _ body: (inout Ledger) throws -> Void) throws -> Ledger {
        let register = CASRegister(bucket: bucket, name: name)
        var attempts = ChangeAttempts("\(bucket.url) \(name)")
        while true {
            let before = try read(bucket)
            var after = before
            try body(&after)
            if after == before { return before }
            after.generation = before.generation + 1
            after.writer = UUID().uuidString
            if try register.write(after.encoded(), as: after.generation) { return after }
            try attempts.lost(bucket.work)
        }
    }

    /// Whether an entry counts as dead whose last sign of life was at `seen`, in seconds since 1970.
    static func isDead(_ seen: Int, at now: Date) -> Bool {
        Int(now.timeIntervalSince1970).subtracting(saturating: seen) > deadSeconds
    }
}
