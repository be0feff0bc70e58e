import Foundation
import Origins

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

    static func read(_ bucket: S3Bucket) throws -> Ledger {
        guard let state = try CASRegister(bucket: bucket, name: name).read() else { return Ledger() }
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
        return ledger
    }

    /// Changes the ledger, repeatedly until no other writer changed it in between.
    ///
    /// - Parameter body: applies the change to the current ledger; may be called several times.
    /// - Returns: the ledger after the change.
    @discardableResult
    static func change(_ bucket: S3Bucket, _ body: (inout Ledger) throws -> Void) throws -> Ledger {
        let register = CASRegister(bucket: bucket, name: name)
        while true {
            let before = try read(bucket)
            var after = before
            try body(&after)
            if after == before { return before }
            after.generation = before.generation + 1
            after.writer = UUID().uuidString
            if try register.write(Array(try JSONEncoder().encode(after)), as: after.generation) { return after }
            // A random delay: writers that lost together should not retry together.
            usleep(.random(in: 1_000..<50_000))
        }
    }

    /// Whether an entry with this sign of life counts as dead.
    static func isDead(_ seen: Int, at now: Date) -> Bool { Int(now.timeIntervalSince1970) - seen > deadSeconds }
}
