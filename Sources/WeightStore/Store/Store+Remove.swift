import GRDB
import Storage
import Support

extension Store {
    /// Removes models with all of their revisions (`org/name`), or single revisions (`org/name@rev`).
    ///
    /// Shards that were evicted, and that other revisions hold which have no checked origin, are fetched first: after
    /// the removal nothing could give them. Blocks.
    ///
    /// - Parameters:
    ///   - names: revisions or models: `model`, `model@ref`, `model@v3`, `model@<digest>`.
    ///   - force: whether pinned revisions are removed, too.
    ///   - dryRun: whether nothing is removed, and the summary says what would be.
    ///   - work: cancelling it ends the call before it removes anything.
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
        try removing(dryRun: dryRun, work) { db, holders, removal in
            let named = try names.map { try Self.named($0, db) }
            var all: [RevisionRow] = []
            for revision in named.flatMap(\.revisions) where !all.contains(where: { $0.id == revision.id }) {
                if let reason = try Self.hold(on: revision, holders, db) {
                    guard case .pinned = reason, force else { throw reason }
                }
                all.append(revision)
            }
            guard try removal.prepare(all, db) || dryRun else { return }
            for revision in all { try removal.remove(revision, db) }
            for model in named.compactMap(\.model) { try removal.removeModel(model, db) }
        }
    }

    /// Removes the revisions that `choose` returns, except pinned and used ones, until `isEnough` returns true.
    func prune(
        dryRun: Bool, _ work: Work, _ choose: (Database) throws -> [RevisionRow],
        until isEnough: (Removal) throws -> Bool
    ) throws -> RemovalSummary {
        try removing(dryRun: dryRun, work) { db, holders, removal in
            for revision in try choose(db) {
                if try isEnough(removal) { return }
                if let reason = try Self.hold(on: revision, holders, db) {
                    removal.summary.kept.append(
                        KeptRevision(revision: revision.name, reason: reason.keeps))
                    continue
                }
                do {
                    // What must be fetched first is gathered over all revisions.
                    guard try removal.prepare([revision], db) || dryRun else { continue }
                    try removal.remove(revision, db)
                } catch let reason as StoreError {
                    guard case .neededElsewhere = reason else { throw reason }
                    removal.summary.kept.append(KeptRevision(revision: revision.name, reason: reason.keeps))
                }
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

    /// Thrown to roll a removal back.
    private struct FetchFirst: Error {
        let shards: [NeededShard]
    }

    /// The most rounds of fetches before a removal. More than one is necessary only if evictions interfere.
    private static let mostFetchRounds = 8

    private func removing(
        dryRun: Bool, _ work: Work, _ body: (Database, [LeaseDirectory.Holder], inout Removal) throws -> Void
    ) throws -> RemovalSummary {
        var fetched: [ContentDigest: NeededShard] = [:]
        var unfetchable: [ContentDigest: String] = [:]
        var rounds = 0
        while true {
            do {
                let removal = try leases.whileNobodyStarts { [unfetchable] holders in
                    try change().commit(dryRun: dryRun) { db in
                        try authority.require(db)
                        var removal = Removal()
                        removal.unfetchable = unfetchable
                        try Removal.dropDeadClaims(leases, db)
                        try body(db, holders, &removal)
                        if !dryRun, !removal.fetchFirst.isEmpty { throw FetchFirst(shards: removal.fetchFirst) }
                        return (removal, Array(removal.models))
                    }
                }
                if !dryRun { try delete(removal) }
                var summary = removal.summary
                let first = dryRun ? removal.fetchFirst : Array(fetched.values)
                summary.fetchedFirst = first.count
                summary.fetchedFirstBytes = first.reduce(0) { $0 + $1.bytes }
                summary.neededBy = Array(Set(first.flatMap(\.others))).sorted()
                return summary
            } catch let first as FetchFirst {
                rounds += 1
                work.expect(first.shards.reduce(0) { $0 + $1.bytes })
                for shard in first.shards {
                    try work.check()
                    do {
                        if rounds > Self.mostFetchRounds {
                            throw StoreError.other(description: "it was evicted again before the removal")
                        }
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
    }

    /// Deletes the blobs that a committed removal left without a reference.
    private func delete(_ removal: Removal) throws {
        let deleted = try authority.delete(removal.blobs, .removed)
        let dropped = try authority.delete(removal.kvBlobs, .dropped)
        if deleted.kept + dropped.kept == 0 { return }
        logger.warning(
            """
            \(deleted.kept + dropped.kept) blobs were kept: they may belong to revisions that the last rebuild \
            could not read
            """)
    }
}
