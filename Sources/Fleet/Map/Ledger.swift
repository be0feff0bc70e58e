import Foundation
import Origins

/// What everybody who changes the bucket has to know of the others: which models there are, which pushes are under way,
/// and whether garbage is being collected.
///
/// It is what makes collection safe, without a word in a listing being believed: a push writes down what it needs
/// (`pushes/<id>`, a manifest) and enters itself here *before* it looks at what the bucket has; it waits while a
/// collection is entered. A collection enters itself and reads the pushes in one step, and takes what they need for needed.
/// So there is no shard that a push found, and a collection removed.
///
/// Entries of the dead are told by the object store's clock.
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

    /// Seconds after which an entry without a sign of life is a dead one's.
    static let deadSeconds = 3600
    /// Signs of life are given this often.
    static let beatSeconds = 60

    private static let form = "ledger 1"
    static let name = "ledger"

    private var weightstore = form
    var generation = 0
    var writer = ""
    /// All that ever had a push. Their versions are found by this, and not by a listing.
    var models: [String] = []
    var pushes: [String: Push] = [:]
    var collection: Collection?

    static func read(_ bucket: S3Bucket) throws -> Ledger {
        guard let state = try Register(bucket: bucket, name: name).read() else { return Ledger() }
        let ledger: Ledger
        do {
            ledger = try JSONDecoder().decode(Ledger.self, from: Data(state.bytes))
        } catch {
            throw FleetError.malformed(place: "\(bucket.url) \(name)", reason: "not a ledger (\(error))")
        }
        guard ledger.weightstore == form else {
            throw FleetError.malformed(
                place: "\(bucket.url) \(name)", reason: "\(ledger.weightstore) is not known here")
        }
        return ledger
    }

    /// Changes the ledger, again and again until nobody else changed it in between.
    ///
    /// - Parameter body: makes the change to what is there now.
    /// - Returns: the ledger as it is then.
    @discardableResult
    static func change(_ bucket: S3Bucket, _ body: (inout Ledger) throws -> Void) throws -> Ledger {
        let register = Register(bucket: bucket, name: name)
        while true {
            let before = try read(bucket)
            var after = before
            try body(&after)
            if after == before { return before }
            after.generation = before.generation + 1
            after.writer = UUID().uuidString
            if try register.write(Array(try JSONEncoder().encode(after)), as: after.generation) { return after }
            // Those who lost together should not come back together.
            usleep(.random(in: 1_000..<50_000))
        }
    }

    /// Whether an entry with this sign of life is a dead one's.
    static func isDead(_ seen: Int, at now: Date) -> Bool { Int(now.timeIntervalSince1970) - seen > deadSeconds }
}
