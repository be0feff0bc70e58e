import Dispatch
import GRDB
import Storage
import Support
import Synchronization

/// Questions of a diagnosis. None of them changes the store, and each has a limit of seconds.
extension Store {
    /// A damaged blob, found by a sample.
    package struct SampledDamage: Sendable {
        package let digest: ContentDigest
        package let detail: String
        package let revisions: [String]
    }

    /// Hashes shards at random places until the time is over. All shards of a small store are hashed.
    ///
    /// - Returns: the number of shards and bytes read, and the damage. Nothing is moved to quarantine.
    package func sampleDamage(
        within limit: Duration, _ work: Work = Work()
    ) throws -> (shards: Int, bytes: Int, damage: [SampledDamage]) {
        let end = ContinuousClock.now + limit
        let buffer = Buffer(bytes: BufferPool.bufferBytes)
        var seen: Set<ContentDigest> = []
        var result = (shards: 0, bytes: 0, damage: [SampledDamage]())
        while ContinuousClock.now < end {
            let found = try catalog.read { db in
                try ShardTable.sample(256, db).filter { !seen.contains($0) }.compactMap { try ShardTable.find($0, db) }
            }
            if found.isEmpty { break }
            for shard in found where ContinuousClock.now < end {
                try work.check()
                seen.insert(shard.digest)
                guard shard.state == .present else { continue }
                let damage: BlobDamage?
                do {
                    damage = try self.damage(of: shard.digest, bytes: shard.bytes, buffer) { _ in
                        // The last shard may be large: it is left out rather than waited for.
                        if ContinuousClock.now > end + limit { throw CancellationError() }
                    }
                } catch is CancellationError {
                    try work.check()
                    return result
                }
                result.shards += 1
                result.bytes.add(saturating: shard.bytes)
                guard let damage else { continue }
                result.damage.append(
                    SampledDamage(
                        digest: shard.digest, detail: damage.detail,
                        revisions: try catalog.read { db in try Self.revisions(holding: shard.id, db) }))
            }
        }
        return result
    }

    /// Sends one request to each origin, about the newest revision that has it. Nothing is recorded.
    ///
    /// - Returns: for each origin, the reason why it did not answer; nil if it did.
    package func originAnswers(
        within limit: Duration, _ work: Work = Work()
    ) throws -> [(origin: String, failure: String?)] {
        let requests = try catalog.read { db in
            var requests: [String: (Int64, OriginCheckRequest)] = [:]
            for row in try RevisionRow.all(where: "TRUE ORDER BY revision.id DESC", [], db) {
                for url in try OriginTable.all(of: row.id, db).map(\.url) where requests[url] == nil {
                    requests[url] = (row.id, try OriginCheckRequest(row, db))
                }
            }
            return requests
        }
        let urls = requests.keys.sorted()
        let failures = Mutex<[String: String]>([:])
        let limited = Work(within: work)
        let timer = DispatchWorkItem { limited.cancel() }
        DispatchQueue.global().asyncAfter(deadline: .now() + limit / .seconds(1), execute: timer)
        defer { timer.cancel() }
        try ParallelWork.run(urls) { [self] url in
            guard let request = requests[url]?.1 else { return }
            do {
                if case .failure(let failure) = try answer(of: url, request, limited) {
                    failures.withLock { $0[url] = failure.reason }
                }
            } catch is CancellationError {
                try work.check()
                failures.withLock { $0[url] = "no answer within \(Quantity.seconds(limit / .seconds(1)))" }
            }
        }
        return urls.map { url in (url, failures.withLock { $0[url] }) }
    }

    /// The moves that were interrupted: the source, the model, and the number of files that were not yet removed.
    package func interruptedMoves() throws -> [(source: String, model: String, files: Int)] {
        try catalog.read { db in try MoveTable.all(db).map { ($0.source, $0.model, $0.files.count) } }
    }

    /// What SQLite finds wrong with the catalog's pages; nil if nothing.
    package func catalogProblem() throws -> String? {
        let found = try catalog.read { db in try String.fetchValue(db, sql: "PRAGMA quick_check(1)") }
        return found == "ok" ? nil : found
    }

    /// The latest time that the catalog has, in seconds since 1970; nil without revisions.
    package func latestTime() throws -> Int? {
        try catalog.read { db in
            let time = try Int.fetchValue(
                db, sql: "SELECT coalesce(max(max(created_at), max(last_access)), 0) FROM revision")
            return time > 0 ? time : nil
        }
    }
}
