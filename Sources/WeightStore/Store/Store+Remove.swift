import Files
import GRDB
import Storage
import Support

extension Store {
    /// Removes models with all of their revisions (`org/name`), or single revisions (`org/name@rev`).
    ///
    /// Shards that are evicted, or whose blobs are gone, are fetched before the removal if other revisions contain them that
    /// have no checked origin: afterwards no origin could supply them. Blocks.
    ///
    /// The revisions are removed at once, in one short transaction. Their rows and blobs are then removed in slices,
    /// between which other processes read and write. If the call ends before all are removed, the next collection
    /// continues.
    ///
    /// - Parameters:
    ///   - names: revisions or models: `model`, `model@ref`, `model@~3`, `model@<digest>`.
    ///   - force: whether pinned revisions are removed, too.
    ///   - dryRun: whether nothing is removed, and the summary says what would be.
    ///   - work: cancelling it ends the call before it removes anything, or between two slices.
    /// - Throws: ``StoreError/neededElsewhere(revision:others:shards:reason:)`` if shards that other revisions need
    ///   could not be fetched; ``StoreError/inUse(revision:holders:)`` if a live process holds one of them;
    ///   ``StoreError/pinned(revision:note:)`` if one is pinned, without `force`;
    ///   ``StorageError/notFound(kind:name:detail:)``; ``StorageError/ambiguous(name:matches:)`` if `model@v3` names a
    ///   ref and another version; ``StorageError/catalogOlder(path:)`` and ``StorageError/foreignBlobs(path:found:)`` if
    ///   nothing may be deleted from the store. In each case nothing is removed.
    @discardableResult
    public func remove(
        _ names: [String], force: Bool = false, dryRun: Bool = false, work: Work = Work()
    ) throws -> RemovalSummary {
        func choose(_ holders: [LeaseDirectory.Holder], _ db: Database) throws -> (all: [RevisionRow], models: [Int64])
        {
            let named = try names.map { try Self.named($0, db) }
            var all: [RevisionRow] = []
            for revision in named.flatMap(\.revisions) where !all.contains(where: { $0.id == revision.id }) {
                if let reason = try Self.hold(on: revision, holders, db) {
                    guard case .pinned = reason, force else { throw reason }
                }
                all.append(revision)
            }
            return (all, named.compactMap(\.model))
        }
        return try removing(.removed, dryRun: dryRun, counts: false, work) { plan, holders, db in
            let chosen = try choose(holders, db)
            plan.models = chosen.models
            try plan.add(chosen.all, db)
        } still: { plan, holders, db in
            let chosen = try choose(holders, db)
            guard chosen.models == plan.models, chosen.all.map(\.id) == plan.revisions.map(\.id) else { return nil }
            return chosen.all
        }
    }

    /// Removes the revisions that `choose` returns, in its order, except pinned and used ones.
    ///
    /// - Parameter limit: what weights may be stored at most, in bytes: the removal ends once no more are. nil to remove
    ///   all.
    func prune(
        downTo limit: Int?, dryRun: Bool, _ work: Work, _ choose: (Database) throws -> [RevisionRow]
    ) throws -> RemovalSummary {
        try removing(.pruned, dryRun: dryRun, counts: limit != nil, work) { plan, holders, db in
            let stored = try Totals.bytes(.weights, db)
            for revision in try choose(db) {
                if let limit, stored - plan.weights <= limit { return }
                do {
                    if let reason = try Self.hold(on: revision, holders, db) { throw reason }
                    try plan.add([revision], db)
                } catch let reason as StoreError {
                    switch reason {
                    case .inUse, .pinned, .neededElsewhere:
                        plan.kept.append(KeptRevision(revision: revision.name, reason: reason.keeps))
                    default: throw reason
                    }
                }
            }
        } still: { plan, holders, db in
            // One that was given a name, a pin or a use meanwhile stays.
            let candidates = Set(try choose(db).map(\.id))
            return try plan.revisions.filter { revision in
                guard candidates.contains(revision.id) else { return false }
                guard let reason = try Self.hold(on: revision, holders, db) else { return true }
                plan.kept.append(KeptRevision(revision: revision.name, reason: reason.keeps))
                return false
            }
        }
    }

    /// The reason why a revision cannot be removed; nil if it can.
    private static func hold(
        on revision: RevisionRow, _ holders: [LeaseDirectory.Holder], _ db: Database
    ) throws -> StoreError? {
        // A process that opened the revision before its last byte arrived holds it by its provisional digest.
        let provisional = try RevisionTable.provisionalDigest(of: revision.id, db)
        let uses = [revision.digest, provisional].compactMap { digest in
            digest.map { LeaseDirectory.Use(model: revision.modelName, digest: $0) }
        }
        let users = holders.filter { !$0.revisions.isDisjoint(with: uses) }.map(\.process)
        if !users.isEmpty { return .inUse(revision: revision.name, holders: users) }
        return try PinTable.note(of: revision.id, db).map { .pinned(revision: revision.name, note: $0) }
    }

    /// Thrown to roll a removal back, because the catalog changed since it was planned.
    private struct Outdated: Error {}

    /// The most rounds of plans and fetches before a removal. More than one is necessary only if other processes change
    /// the catalog meanwhile.
    private static let mostRounds = 8
    /// After so many rounds, shards that other revisions need are looked up under the locks, however long that takes.
    private static let roundsWithoutLock = 3

    /// Removes what a plan lists: in one short transaction the revisions, and in slices what they leave behind.
    ///
    /// - Parameters:
    ///   - kind: the kind of the event.
    ///   - counts: whether the plan counts what is freed; a dry run always does.
    ///   - choose: plans the removal, on a snapshot of the catalog.
    ///   - still: checks the plan again in the transaction, while no process can begin to use a revision: returns the
    ///     revisions that may be removed, or nil if the removal must be planned again.
    private func removing(
        _ kind: EventKind, dryRun: Bool, counts: Bool, _ work: Work,
        _ choose: (inout RemovalPlan, [LeaseDirectory.Holder], Database) throws -> Void,
        still: (inout RemovalPlan, [LeaseDirectory.Holder], Database) throws -> [RevisionRow]?
    ) throws -> RemovalSummary {
        var fetched: [ContentDigest: NeededShard] = [:]
        var unfetchable: [ContentDigest: String] = [:]
        let spare = SpareReserve(reserve)
        // While the blobs are not mounted, none is known to be gone, and a removal is refused below.
        let hasBlobs = (try? requireOwnBlobs()) != nil
        let isGone = { [blobs] (digest: ContentDigest) in try hasBlobs && FileSystem.isAbsent(blobs.path(digest)) }
        // Before anything is fetched.
        if !dryRun { try spare.retrying { try catalog.write(work: work) { db in try authority.require(db) } } }
        var round = 0
        while true {
            round += 1
            try work.check()
            let holders = try leases.holders()
            let living = dryRun || counts ? holders.map(\.lease) : nil
            let (plan, dryRunSummary) = try catalog.read { db in
                var plan = try RemovalPlan(countingBeside: living, unfetchable: unfetchable, isGone: isGone, db)
                try choose(&plan, holders, db)
                return (plan, dryRun ? try plan.summary(db) : nil)
            }
            if let dryRunSummary { return dryRunSummary }
            if !plan.fetchFirst.isEmpty {
                try fetch(plan.fetchFirst, isLast: round > Self.mostRounds, &fetched, &unfetchable, work)
                continue
            }
            do {
                let removal = try spare.retrying {
                    try remove(plan, locked: round > Self.roundsWithoutLock, work, still: still)
                }
                var summary = try finish(removal, spare, work)
                summary.report(Array(fetched.values))
                if summary.shards > 0 { reportMappings(&summary) }
                note(kind, summary)
                return summary
            } catch is Outdated {
                guard round <= Self.mostRounds else {
                    throw StorageError.busy(what: path, holder: "other processes that change the same models")
                }
            }
        }
    }

    /// Records a removal as one event; of a single revision under its name.
    private func note(_ kind: EventKind, _ summary: RemovalSummary) {
        guard let first = summary.revisions.first else { return }
        let models = Set(summary.revisions.map { ByteText(RevisionName.model(of: $0)) })
        let subject = summary.revisions.count == 1 ? first : models.count == 1 ? RevisionName.model(of: first) : ""
        record(
            StoreEvent(
                kind, subject, bytes: summary.bytes, count: summary.revisions.count,
                detail: subject == first ? "" : summary.revisions.joined(separator: ", ")))
    }

    /// The transaction that removes the revisions of a plan.
    ///
    /// - Parameter locked: whether shards that other revisions need are looked up in the transaction, however long that
    ///   takes.
    private func remove(
        _ plan: RemovalPlan, locked: Bool, _ work: Work,
        still: (inout RemovalPlan, [LeaseDirectory.Holder], Database) throws -> [RevisionRow]?
    ) throws -> Removal {
        try leases.withNewUsesBlocked(work) { holders in
            try change(work).commitRemoval { db in
                try authority.require(db)
                var plan = plan
                guard let revisions = try still(&plan, holders, db) else { throw Outdated() }
                if try CommitCounter.value(db) != plan.commits || revisions.count != plan.revisions.count {
                    let fewAbsent = try !ShardTable.hasAbsent(RemovalPlan.few, db)
                    guard fewAbsent || locked else { throw Outdated() }
                    let leaving = revisions.map(\.id)
                    for revision in leaving {
                        let needed = try NeededShard.all(of: revision, leaving: leaving, fewAbsent: fewAbsent, db)
                        guard needed.isEmpty else { throw Outdated() }
                    }
                }
                var removal = Removal()
                for revision in revisions { try removal.remove(revision, db) }
                for model in plan.models { try removal.removeModel(model, db) }
                removal.summary.kept = plan.kept
                return (removal, Array(removal.models), removal.records)
            }
        }
    }

    /// Removes the rows and blobs of removed revisions.
    private func finish(_ removal: Removal, _ spare: SpareReserve, _ work: Work) throws -> RemovalSummary {
        var kept = try authority.delete(removal.manifests, .removed).kept
        let slices = slices(spare, work)
        do {
            try slices.dropDeadClaims()
            try slices.visit(removal.files)
            try slices.dropAbandonedBlocks()
        } catch let error as CancellationError {
            logger.notice("The revisions are removed. The next collection removes their rows and blobs.")
            throw error
        }
        kept += slices.totals.kept
        if kept > 0 {
            logger.warning(
                "\(kept) blobs were kept: they may belong to revisions that the last rebuild could not read or find")
        }
        var summary = removal.summary
        summary.shards = slices.totals.shards
        summary.kvBlocks = slices.totals.kvBlocks
        summary.bytes = slices.totals.bytes
        return summary
    }

    /// Unmaps what was removed, and adds what other processes map to the summary.
    private func reportMappings(_ summary: inout RemovalSummary) {
        releaseRemovedFiles()
        do {
            summary.stillMapped = try deletedMappings()
        } catch {
            // Logged and not thrown: the removal has succeeded.
            logger.warning("the deleted files that processes map could not be listed: \(error)")
        }
    }

    /// The slices that remove the rows which removed revisions leave behind, and their blobs.
    func slices(_ spare: SpareReserve, _ work: Work, deletesBlobs: Bool = true) -> RemovalSlices {
        RemovalSlices(
            catalog: catalog, leases: leases, authority: deletesBlobs ? authority : nil, spare: spare, work: work)
    }

    /// Visits the files that removed revisions linked, if a removal was interrupted or left that to others.
    func finishRemovals(_ work: Work) throws {
        let files = try catalog.read { db in try FileTable.unlinked(db) }
        if files.isEmpty { return }
        // A record that was left would list its model again at a rebuild, without the shards.
        _ = try catalog.write(work: work) { db in try authority.deletePending(db) }
        try slices(SpareReserve(reserve), work).visit(files)
    }

    /// Fetches shards that other revisions need and have no origin for.
    ///
    /// - Parameter isLast: whether they were fetched too often, and are evicted again and again.
    private func fetch(
        _ shards: [NeededShard], isLast: Bool, _ fetched: inout [ContentDigest: NeededShard],
        _ unfetchable: inout [ContentDigest: String], _ work: Work
    ) throws {
        work.expect(shards.saturatingSum(\.bytes))
        for shard in shards {
            try work.check()
            do {
                if isLast { throw StoreError.other(description: "it was evicted again before the removal") }
                try refetch(shard.digest, work: work)
                fetched[shard.digest] = shard
            } catch let error as CancellationError {
                throw error
            } catch {
                unfetchable[shard.digest] = "\(error)"
            }
            work.advance(shard.bytes)
        }
    }
}
