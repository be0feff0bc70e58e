import Dispatch
import Foundation
import Origins
import Synchronization
import WeightStore

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

    /// Adds the entry; waits while garbage is collected, for up to an hour.
    ///
    /// - Parameter manifest: names the shards that the push needs.
    /// - Returns: the ledger with the entry.
    /// - Throws: ``FleetError/busy(what:holder:)`` if a collection takes longer; `CancellationError` when the bucket's
    ///   work is cancelled. No entry remains then.
    @discardableResult
    func enter(needing manifest: [UInt8]) throws -> Ledger {
        try bucket.put(Self.needs(id), manifest)
        do {
            return try enterLedger()
        } catch {
            // A collection removes the objects that cannot be removed now.
            do {
                try leave()
            } catch FleetError.inconsistent {
                // There is no entry.
                try? bucket.lastRequests { try $0.delete(Self.needs(id)) }
            } catch {}
            throw error
        }
    }

    private func enterLedger() throws -> Ledger {
        var backoff = Backoff(firstSeconds: 0.1, longestSeconds: 2)
        let end = ContinuousClock.now + .seconds(Ledger.deadSeconds)
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
            if ledger.pushes[id] != nil {
                lastBeat.withLock { $0 = .now }
                return ledger
            }
            guard ContinuousClock.now < end else {
                throw FleetError.busy(
                    what: bucket.url,
                    holder: "the collection on \(ledger.collection?.collector ?? "another machine") has been in "
                        + "progress for more than \(Ledger.deadSeconds) s")
            }
            try backoff.wait(bucket.work)
        }
    }

    /// Gives a sign of life, if one is due.
    ///
    /// - Throws: ``FleetError/expired(what:)`` if the entry was removed as dead.
    func beat(force: Bool = false) throws {
        let isDue = lastBeat.withLock { last in
            guard force || ContinuousClock.now - last > .seconds(Ledger.beatSeconds) else { return false }
            last = .now
            return true
        }
        guard isDue else { return }
        try Ledger.change(bucket) { ledger in
            guard ledger.pushes[id] != nil else { throw FleetError.expired(what: "the push of \(model)") }
            ledger.pushes[id]?.seen = Int(bucket.now.timeIntervalSince1970)
        }
    }

    /// Removes the entry, also after the bucket's work was cancelled: then within half a second, or not at all. An entry
    /// that remains expires within an hour.
    ///
    /// - Parameter generation: a generation of the model's versions that exists now.
    func leave(after generation: Int = 0) throws {
        try bucket.lastRequests { bucket in
            // The entry first: without its object, a collection would have to stop.
            try Ledger.change(bucket) { ledger in
                ledger.pushes[id] = nil
                ledger.saw(generation, of: model)
            }
            try bucket.delete(Self.needs(id))
        }
    }
}

extension S3Bucket {
    /// Sends the last requests of a call, within 10 seconds. They are sent even if the call's work is cancelled, but
    /// then within half a second, so that they do not delay the end of the process.
    func lastRequests(_ body: (S3Bucket) throws -> Void) throws {
        let work = Work()
        @Sendable func cancel(after seconds: Double) {
            DispatchQueue.global().asyncAfter(deadline: .now() + seconds) { work.cancel() }
        }
        let handler = self.work.onCancel { cancel(after: 0.5) }
        cancel(after: 10)
        try body(bound(to: work))
        withExtendedLifetime(handler) {}
    }
}
