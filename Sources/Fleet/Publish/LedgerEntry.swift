import Foundation
import Origins
import Synchronization

/// A push's entry in the ledger: from before it checks which shards the bucket has, until its version is created.
final class LedgerEntry: Sendable {
    private let bucket: S3Bucket
    private let model: String
    private let publisher: String
    let id = UUID().uuidString
    private let lastBeat = Mutex(ContinuousClock.now)

    static func needs(_ id: String) -> String { "pushes/\(id)" }

    init(bucket: S3Bucket, model: String, publisher: String) {
        self.bucket = bucket
        self.model = model
        self.publisher = publisher
    }

    /// Adds the entry; waits while garbage is collected.
    ///
    /// - Parameter manifest: names the shards that the push needs.
    func enter(needing manifest: [UInt8]) throws {
        try bucket.put(Self.needs(id), manifest)
        while true {
            let ledger = try Ledger.change(bucket) { ledger in
                let now = bucket.now
                if let collection = ledger.collection, Ledger.isDead(collection.seen, at: now) {
                    ledger.collection = nil
                }
                guard ledger.collection == nil else { return }
                if !ledger.models.contains(model) { ledger.models = (ledger.models + [model]).sorted() }
                ledger.pushes[id] = .init(model: model, publisher: publisher, seen: Int(now.timeIntervalSince1970))
            }
            if ledger.pushes[id] != nil { break }
            usleep(200_000)
        }
        lastBeat.withLock { $0 = .now }
    }

    /// Gives a sign of life, if one is due.
    ///
    /// - Throws: ``FleetError/givenUp(what:)`` if the entry was removed as dead.
    func beat(force: Bool = false) throws {
        let isDue = lastBeat.withLock { last in
            guard force || ContinuousClock.now - last > .seconds(Ledger.beatSeconds) else { return false }
            last = .now
            return true
        }
        guard isDue else { return }
        try Ledger.change(bucket) { ledger in
            guard ledger.pushes[id] != nil else { throw FleetError.givenUp(what: "the push of \(model)") }
            ledger.pushes[id]?.seen = Int(bucket.now.timeIntervalSince1970)
        }
    }

    func leave() throws {
        try Ledger.change(bucket) { $0.pushes[id] = nil }
        try bucket.delete(Self.needs(id))
    }
}
