import Crypto
import Dispatch
import Files
import GRDB
import Glibc
import Storage
import Support
import Synchronization

extension Store {
    /// Reads shards from the disk, past the page cache, and compares them with their digests. A shard that differs, or
    /// that cannot be read, is moved to `quarantine/`; importing the same content again restores it. A KV block that
    /// differs is dropped. Shards that are not stored are reported from the catalog: ``VerifySummary/absent``.
    ///
    /// The file of a shard that no revision holds may be missing: a backup can list shards that a collection has deleted
    /// since. That is no damage.
    ///
    /// A shard that was missing or quarantined and whose correct bytes are back becomes present again. Manifests and
    /// records are also compared with their digests, and rewritten from the catalog if they are damaged or missing.
    ///
    /// In a read-only store, damage is only reported, and nothing is changed (``VerifySummary/isReadOnly``).
    ///
    /// - Parameters:
    ///   - rule: which shards to read.
    ///   - work: counts bytes read. Cancelling it, or the task, ends the verification.
    /// - Throws: ``StoreError``, `CancellationError`; ``StorageError/foreignBlobs(path:found:)`` if the blobs are not
    ///   mounted; ``StorageError/readOnly(reason:)`` if the rule checks origins and the store can only be read.
    ///   Shards verified before the error are recorded as verified.
    @discardableResult
    public func verify(_ rule: VerifyRule = VerifyRule(), work: Work = Work()) async throws -> VerifySummary {
        try await work.run { try self.verifyBlocking(rule, work: work) }
    }

    /// The blocking form of ``verify(_:work:)``, for threads outside of Swift's cooperative pool.
    @discardableResult
    public func verifyBlocking(_ rule: VerifyRule = VerifyRule(), work: Work = Work()) throws -> VerifySummary {
        // The results of the checks are recorded.
        if rule.checksOrigins { try requireWritable() }
        try requireOwnBlobs()
        // First: what an origin no longer holds is then reported as lost.
        let origins = rule.checksOrigins ? try checkOriginsToVerify(rule, work) : []
        let reinstated = access.isReadOnly ? 0 : try reinstateLostShards(work)
        let descriptions = try restoreDescriptions(of: rule.revision, work)
        let (shards, bytes) = try catalog.read { db in
            try ShardTable.present(
                of: try rule.revision.map { try RevisionRow.find($0, db).id },
                verifiedBefore: rule.olderThanSeconds.map { StoreClock.now.subtracting(saturating: $0) },
                share: rule.sample ?? 1, db)
        }
        let run = VerificationRun(shards, bytes: bytes, bytesPerSecond: rule.bytesPerSecond, work: work)
        DispatchQueue.concurrentPerform(iterations: rule.bytesPerSecond == nil ? cores : 1) { _ in
            self.lane(run)
        }
        let (found, rest, failure) = run.end()
        // If the lock is not free, these shards are verified again.
        try markVerified(rest, work)
        if let failure { throw failure }
        var summary = found
        summary.damage.removeAll(where: \.isOfNothing)
        summary.isReadOnly = access.isReadOnly
        summary.reinstated = reinstated
        summary.rewritten = descriptions.restored
        summary.damage += try descriptions.lost.map { bad in
            VerifySummary.Damage(
                digest: bad.name.digest, problem: "damaged",
                detail: (bad.name.kind == .record ? "record: " : "manifest: ") + bad.detail
                    + (access.isReadOnly ? "" : "; the catalog does not give it"),
                revisions: try revisions(describedBy: bad.name))
        }
        summary.known = try knownDamage(but: Set(found.damage.map(\.digest))).filter { !$0.isOfNothing }
        summary.origins = origins
        try catalog.read { db in
            let revision = try rule.revision.map { try RevisionRow.find($0, db).id }
            summary.absent = try AbsentShards.count(of: revision, db) { shard, digest in
                summary.known.append(
                    VerifySummary.Damage(
                        digest: digest, problem: "lost", detail: "evicted, and no origin has it",
                        revisions: try Self.revisions(holding: shard, db)))
            }
        }
        return summary
    }

    private func checkOriginsToVerify(_ rule: VerifyRule, _ work: Work) throws -> [OriginCheckOutcome] {
        let revisions = try catalog.read { db in
            try rule.revision.map { [try RevisionRow.find($0, db)] } ?? Self.revisions(named: nil, db)
        }
        return try checkOrigins(of: revisions.map(\.id), .all, isPatient: true, work)
    }

    /// Verifies until no shard is left, or a lane has failed.
    private func lane(_ run: VerificationRun) {
        let buffer = Buffer(bytes: BufferPool.bufferBytes)
        while let shards = run.next() {
            do {
                let rows = try catalog.read { db in try shards.compactMap { try ShardTable.find(id: $0, db) } }
                for shard in rows where shard.state == .present {
                    let damage = try verify(shard, buffer, run)
                    try markVerified(run.verified(shard, damage), run.work)
                }
            } catch {
                run.fail(error)
            }
        }
    }

    private func verify(_ shard: ShardTable.Entry, _ buffer: Buffer, _ run: VerificationRun) throws
        -> VerifySummary.Damage?
    {
        guard let damage = try damage(of: shard.digest, bytes: shard.bytes, buffer, run.read) else { return nil }
        if access.isReadOnly { return try report(damage, of: shard) }
        let (blocks, revisions) = try discard(shard, damage, run.work)
        if shard.kind == .kv {
            logger.warning("KV block \(shard.digest.short): \(damage.detail); dropped")
            run.dropped(blocks)
        }
        return revisions.map { VerifySummary.Damage(shard, damage, revisions: $0) }
    }

    /// The report of a bad shard in a store that can only be read.
    ///
    /// - Returns: nil if the shard was evicted or removed meanwhile.
    private func report(_ damage: BlobDamage, of shard: ShardTable.Entry) throws -> VerifySummary.Damage? {
        try catalog.read { db in
            guard let row = try ShardTable.find(shard.digest, db), row.state == .present else { return nil }
            return VerifySummary.Damage(shard, damage, revisions: try Self.revisions(holding: row.id, db))
        }
    }

    /// Compares manifests and records with their digests, and rewrites bad ones if the store can be written.
    private func restoreDescriptions(of revision: String?, _ work: Work) throws -> (
        restored: Int, lost: [BadDescription]
    ) {
        let row = try revision.map { name in try catalog.read { db in try RevisionRow.find(name, db) } }
        if access.isReadOnly { return (0, try badDescriptions(of: row)) }
        if try catalog.write(work: work, { db in try catalog.isOlder(db) }) {
            // Its records are not the newest, and a new one would hide those that are.
            logger.warning("\(StorageError.catalogOlder(path: catalog.path)) Manifests and records are not checked.")
            return (0, [])
        }
        return try restore(badDescriptions(of: row))
    }

    /// Makes lost shards present whose bytes are back, in `blobs/` or in `quarantine/`.
    ///
    /// - Returns: their number.
    private func reinstateLostShards(_ work: Work) throws -> Int {
        var count = 0
        let lost = try catalog.read { db in
            try ShardTable.lost(db) + Self.lostEvicted(db).compactMap { try ShardTable.find($0, db) }
        }
        // A shard may have several files there: one for each time that it was damaged.
        let quarantine = lost.isEmpty ? [] : try FileSystem.entries(path + "/quarantine")
        for shard in lost {
            try work.check()
            let places =
                [blobs.path(shard.digest)]
                + quarantine.filter { $0.hasPrefix(shard.digest.hex) }.map { "\(path)/quarantine/\($0)" }
            if try places.contains(where: { try reinstate(shard, from: $0, work) }) { count += 1 }
        }
        return count
    }

    private func markVerified(_ shards: [Int64], _ work: Work) throws {
        if shards.isEmpty || access.isReadOnly { return }
        try catalog.write(durable: false, work: work) { db in try ShardTable.markVerified(shards, db) }
    }

    private func knownDamage(but found: Set<ContentDigest>) throws -> [VerifySummary.Damage] {
        try catalog.read { db in
            try ShardTable.damaged(db).filter { !found.contains($0.digest) }.map { shard in
                VerifySummary.Damage(
                    digest: shard.digest, problem: shard.state == .missing ? "missing" : "damaged",
                    detail: "found earlier", revisions: try Self.revisions(holding: shard.id, db))
            }
        }
    }
}

extension VerifySummary.Damage {
    /// Whether it is the absence of a shard that no revision needs.
    fileprivate var isOfNothing: Bool { problem == "missing" && revisions.isEmpty }

    fileprivate init(_ shard: ShardTable.Entry, _ damage: BlobDamage, revisions: [String]) {
        self.init(
            digest: shard.digest, problem: damage.state == .missing ? "missing" : "damaged", detail: damage.detail,
            revisions: revisions)
    }
}
