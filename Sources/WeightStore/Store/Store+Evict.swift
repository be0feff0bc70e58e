import Files
import GRDB
import Glibc
import Policies
import Storage
import Support
import Tiers

extension Store {
    /// Evicts shards from the disk: their rows stay, their files are deleted, and the next use fetches them from an
    /// origin. KV blocks are deleted with their rows, a block before its parent.
    ///
    /// A shard of weights is evicted only if every revision that contains it has an origin that was confirmed to hold
    /// that revision within the last hour, if none of them is pinned, and if no live process uses it. Origins whose
    /// last check is older, or that were never checked, are checked first. If none of a revision's origins responds,
    /// its shards stay, and ``EvictionSummary/unchecked`` names the revision.
    ///
    /// The policy runs without a lock, on its own connection. Its victims are then checked again and marked in one
    /// transaction under the write lock, and their files are deleted after it. Evictions run one at a time
    /// (`evict.lock`, `evict.kv.lock`), so that two of them do not free the same bytes twice.
    ///
    /// - Parameters:
    ///   - request: how much to evict, from what, and by which policy.
    ///   - work: counts bytes. Cancelling it, or the task, ends the eviction before it changes anything.
    /// - Throws: ``StoreError``, `CancellationError`; ``StorageError/catalogOlder(path:)`` and
    ///   ``StorageError/foreignBlobs(path:found:)`` if nothing may be deleted from the store. If the policy is
    ///   rejected, the default policy is used instead, and ``EvictionSummary/rejection`` has the reason.
    @discardableResult
    public func evict(_ request: EvictionRequest, work: Work = Work()) async throws -> EvictionSummary {
        try await work.run { try self.evictBlocking(request, work: work) }
    }

    /// The blocking form of ``evict(_:work:)``, for threads outside of Swift's cooperative pool.
    @discardableResult
    public func evictBlocking(_ request: EvictionRequest, work: Work = Work()) throws -> EvictionSummary {
        let turn = try lockFile(request.kind.setting("evict", "lock"))
        _ = try turn.lock(waits.until(work))
        return try evictInTurn(request, work)
    }

    /// As `evict`, in the background; does nothing if another eviction is running.
    ///
    /// - Returns: the bytes stored after the eviction; nil if another one is running.
    func evictIfIdle(_ request: EvictionRequest) throws -> Int? {
        try background.work.check()
        let turn = try lockFile(request.kind.setting("evict", "lock"))
        guard try turn.tryLock() else { return nil }
        let summary = try evictInTurn(request, Work(within: background.work))
        logEviction(summary)
        for outcome in summary.unchecked {
            logger.warning(
                "\(outcome.origin.withoutURLSecrets): could not be checked for \(outcome.revision), whose shards stay: \(outcome.reason ?? "")"
            )
        }
        return summary.stored
    }

    /// Logs an eviction that a quota caused, and not a person.
    func logEviction(_ summary: EvictionSummary) {
        guard summary.shards > 0 else { return }
        logger.notice(
            "evicted \(Quantity.count(summary.shards, "shard")) with \(Quantity.bytes(summary.bytes)) by the policy \(summary.policy); \(Quantity.bytes(summary.stored)) are stored",
            metadata: [
                "event": "eviction", "policy": "\(summary.policy)", "shards": .stringConvertible(summary.shards),
                "bytes": .stringConvertible(summary.bytes), "stored_bytes": .stringConvertible(summary.stored),
            ])
    }

    private func evictInTurn(_ request: EvictionRequest, _ work: Work) throws -> EvictionSummary {
        let (quota, stored, shards) = try catalog.read { db in
            (try Quota(request.kind, db), try Totals.bytes(request.kind, db), try Totals.shards(request.kind, db))
        }
        let wanted =
            switch request.amount {
            case .free(let bytes): max(bytes, 0)
            case .downTo(let bytes): max(stored - max(bytes, 0), 0)
            case .quota: stored > quota.highBytes ?? .max ? stored - (quota.lowBytes ?? 0) : 0
            }
        var summary = EvictionSummary(policy: request.policy?.name ?? quota.policy, requested: wanted, stored: stored)
        if wanted == 0 { return summary }
        work.expect(wanted)
        accesses.flush()
        // Shards of removed revisions may be evicted now, or are garbage.
        if !request.dryRun { try finishRemovals(work) }
        var unanswered: Set<Int64> = []
        if request.kind == .weights { try checkUnchecked(&unanswered, &summary, work) }
        var policies = [Policy.lru]
        do {
            policies.insert(try request.policy ?? policy(quota.policy), at: 0)
        } catch {
            summary.rejection = "\(error)"
        }
        for policy in policies where summary.bytes < wanted {
            try work.check()
            do {
                summary.policy = policy.name
                try evict(
                    wanted - summary.bytes, policy, request, average: stored / max(shards, 1), &unanswered, &summary,
                    work)
            } catch let error as PolicyError where policy != .lru {
                summary.rejection = "\(error)"
            }
            work.advance(summary.bytes - work.progress.done)
            // A valid policy that found too little has found all candidates.
            if summary.rejection == nil { break }
        }
        if let rejection = summary.rejection {
            logger.warning("\(rejection) Policy \(summary.policy) is used instead.")
        }
        if !request.dryRun, summary.shards > 0 { note(summary, of: request.kind) }
        return summary
    }

    private func evict(
        _ wanted: Int, _ policy: Policy, _ request: EvictionRequest, average: Int, _ unanswered: inout Set<Int64>,
        _ summary: inout EvictionSummary, _ work: Work
    ) throws {
        try startClock(request.kind, of: policy, dryRun: request.dryRun, work)
        if request.kind == .kv { return try evictKV(wanted, policy, request, average: average, &summary, work) }
        var victims: [PolicyDatabase.Victim] = []
        // Each round checks revisions that no round before has checked, so the loop ends.
        var checked: Set<Int64> = []
        while true {
            let start = ContinuousClock.now
            victims = try self.victims(
                policy, bytes: wanted, expected: 2.multiplied(saturating: wanted) / max(average, 1),
                seconds: request.seconds,
                except: unanswered)
            summary.seconds += (ContinuousClock.now - start) / .seconds(1)
            let stale = try catalog.read { db in try Self.stale(victims, db) }.filter { !checked.contains($0) }
            if stale.isEmpty { break }
            checked.formUnion(stale)
            note(try checkOrigins(of: stale, .first, work), of: stale, &unanswered, &summary)
        }
        // Between reading the leases and the commit, no process may begin to use a revision.
        let marked = try leases.withNewUsesBlocked(work) { [victims, unanswered] holders in
            try catalog.write(dryRun: request.dryRun, work: work) { db in
                try authority.require(db)
                return try Self.claim(victims, wanted, holders, except: unanswered, db)
            }
        }
        if !request.dryRun { try authority.delete(marked.map { .init(digest: $0.digest, kind: .shard) }, .evicted) }
        let bytes = marked.saturatingSum(\.bytes)
        summary.shards += marked.count
        summary.bytes.add(saturating: bytes)
        summary.stored -= bytes
    }

    private func note(_ summary: EvictionSummary, of kind: QuotaKind) {
        let (place, policy) = (kind.place, summary.policy)
        catalog.activity.add(Double(summary.shards), to: .evictions, place, part: policy)
        catalog.activity.add(Double(summary.bytes), to: .evictedBytes, place, part: policy)
        record(StoreEvent(.evicted, place, bytes: summary.bytes, count: summary.shards, detail: "by \(policy)"))
    }

    // MARK: Origins

    /// Checks the origins of revisions of which none was ever found there: their shards may become candidates.
    private func checkUnchecked(
        _ unanswered: inout Set<Int64>, _ summary: inout EvictionSummary, _ work: Work
    ) throws {
        let revisions = try catalog.read { db in
            try OriginTable.uncheckedRevisions(absentBefore: StoreClock.now - Self.originCheckSeconds, db)
        }
        if revisions.isEmpty { return }
        note(try checkOrigins(of: revisions, .first, work), of: revisions, &unanswered, &summary)
    }

    /// The revisions that hold victims, and whose last check is too old to rely on.
    private static func stale(_ victims: [PolicyDatabase.Victim], _ db: Database) throws -> [Int64] {
        var files: Set<Int64> = []
        for victim in victims { files.formUnion(try ExtentTable.files(of: victim.shard, db)) }
        var revisions: Set<Int64> = []
        for file in files { revisions.formUnion(try RevisionTable.revisions(linking: file, db)) }
        let moment = StoreClock.now - originCheckSeconds
        return try revisions.filter { try OriginTable.lastCheck(of: $0, db) ?? 0 < moment }.sorted()
    }

    /// Keeps the shards of revisions in this eviction if no origin of theirs answered that it holds them.
    private func note(
        _ outcomes: [OriginCheckOutcome], of revisions: [Int64], _ unanswered: inout Set<Int64>,
        _ summary: inout EvictionSummary
    ) {
        unanswered.formUnion(Set(revisions).subtracting(outcomes.filter { $0.state == .holds }.map(\.id)))
        summary.unchecked += outcomes.filter { $0.state == .unanswered && unanswered.contains($0.id) }
    }

    private func victims(
        _ policy: Policy, bytes: Int, count: Int = .max, expected: Int, seconds: Double,
        except excluded: Set<Int64> = []
    ) throws -> [PolicyDatabase.Victim] {
        let candidates = try DiskCandidates(catalog.readableName, leases.holders(), except: excluded)
        let size = try candidates.database.prepare("SELECT bytes FROM main.shard WHERE id = ?")
        return try candidates.database.victims(
            policy, now: Double(StoreClock.now), bytes: bytes, count: count, expected: min(max(expected, 256), 1 << 20),
            seconds: seconds
        ) { shard in
            size.bind(1, Int(shard))
            defer { size.reset() }
            return try size.step() ? size.integer(0) : nil
        }
    }

    /// Marks victims that are still evictable as evicted, until `wanted` bytes are freed.
    private static func claim(
        _ victims: [PolicyDatabase.Victim], _ wanted: Int, _ holders: [LeaseDirectory.Holder],
        except excluded: Set<Int64>, _ db: Database
    ) throws -> [(digest: ContentDigest, bytes: Int)] {
        try db.execute(sql: DiskCandidates.setUp(holders, except: excluded, now: StoreClock.now))
        var marked: [(digest: ContentDigest, bytes: Int)] = []
        var bytes = 0
        var clock: Double?
        for victim in victims {
            guard bytes < wanted else { break }
            guard let shard = try ShardTable.markEvicted(victim.shard, db) else { continue }
            marked.append(shard)
            bytes.add(saturating: shard.bytes)
            clock = [clock, victim.priority].compactMap(\.self).max()
        }
        if let clock { try EvictionClock(.weights).advance(to: clock, db) }
        return marked
    }

    /// Resets the eviction clock if another policy ran last: priorities of two policies are not comparable.
    private func startClock(_ kind: QuotaKind, of policy: Policy, dryRun: Bool, _ work: Work) throws {
        let clock = EvictionClock(kind)
        guard try catalog.read({ try clock.policy($0) }) != policy.name else { return }
        try catalog.write(dryRun: dryRun, work: work) { db in try clock.start(policy.name, db) }
    }

    // MARK: Inspection

    /// Checks a policy without running it.
    ///
    /// - Throws: ``PolicyError/refused(policy:line:message:)``.
    public func check(_ policy: Policy) throws { try DiskCandidates(catalog.readableName, []).database.check(policy) }

    /// SQLite's query plan for a policy, one step per line.
    public func plan(of policy: Policy, for kind: QuotaKind = .weights) throws -> [String] {
        try candidates(kind, []).plan(policy)
    }

    private func candidates(_ kind: QuotaKind, _ holders: [LeaseDirectory.Holder]) throws -> PolicyDatabase {
        switch kind {
        case .weights: try DiskCandidates(catalog.readableName, holders).database
        case .kv: try KVCandidates(catalog.readableName).database
        }
    }

    /// The first shards that a policy would evict now, and the seconds that it took to find them. Evicts nothing.
    ///
    /// - Parameters:
    ///   - policy: the policy that orders the candidates.
    ///   - kind: weights or KV blocks.
    ///   - bytes: stop at this many bytes.
    ///   - count: stop at this many shards.
    ///   - seconds: the time limit of the policy.
    /// - Throws: ``PolicyError``, ``StoreError``.
    public func victims(
        of policy: Policy, for kind: QuotaKind = .weights, bytes: Int = .max, count: Int = .max, seconds: Double = 10
    ) throws -> (victims: [EvictionCandidate], seconds: Double) {
        let start = ContinuousClock.now
        let expected =
            bytes == .max
            ? count
            : try catalog.read { db in
                2.multiplied(saturating: bytes)
                    / max(try Totals.bytes(kind, db) / max(try Totals.shards(kind, db), 1), 1)
            }
        let found =
            switch kind {
            case .weights: try victims(policy, bytes: bytes, count: count, expected: expected, seconds: seconds)
            case .kv:
                try Array(
                    KVCandidates(catalog.readableName).victims(
                        policy, bytes: bytes, expected: min(max(expected, 256), 1 << 20), seconds: seconds
                    ).prefix(count))
            }
        let taken = (ContinuousClock.now - start) / .seconds(1)
        let facts = try candidates(kind, leases.holders()).prepare(
            """
            SELECT bytes, last_access, access_count, heat, fetch_seconds, layer, layer IS NULL, kind, model_count,
                   (SELECT lower(hex(digest)) FROM main.shard WHERE id = shard_id), depth
            FROM candidate WHERE shard_id = ?
            """)
        return (
            try found.compactMap { victim in
                facts.bind(1, Int(victim.shard))
                defer { facts.reset() }
                guard try facts.step(), let digest = ContentDigest(hex: facts.text(9)) else { return nil }
                return EvictionCandidate(
                    shard: victim.shard, digest: digest, bytes: facts.integer(0), lastAccess: facts.integer(1),
                    accesses: facts.integer(2), heat: facts.real(3), fetchSeconds: facts.real(4),
                    layer: facts.integer(6) == 1 ? nil : facts.integer(5),
                    kind: ShardKind(rawValue: facts.text(7)) ?? .file, models: facts.integer(8),
                    depth: facts.integer(10), priority: victim.priority)
            }, taken
        )
    }
}
