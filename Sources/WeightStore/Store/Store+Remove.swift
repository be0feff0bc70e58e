import GRDB
import Storage

extension Store {
    /// Removes models with all of their revisions (`org/name`), or single revisions (`org/name@rev`).
    ///
    /// - Parameters:
    ///   - names: revisions or models: `model`, `model@ref`, `model@v3`, `model@<digest>`.
    ///   - force: whether pinned revisions are removed, too.
    ///   - dryRun: whether nothing is removed, and the summary says what would be.
    /// - Throws: ``StoreError/inUse(revision:holders:)`` if a live process holds one of them;
    ///   ``StoreError/pinned(revision:note:)`` if one is pinned, without `force`;
    ///   ``StorageError/notFound(kind:name:detail:)``; ``StorageError/ambiguous(name:matches:)`` if `model@v3` names a
    ///   ref and another version; ``StorageError/catalogOlder(path:)`` and ``StorageError/foreignBlobs(path:found:)`` if
    ///   nothing may be deleted from the store. In each case nothing is removed.
    @discardableResult
    public func remove(_ names: [String], force: Bool = false, dryRun: Bool = false) throws -> RemovalSummary {
        try removing(dryRun: dryRun) { db, holders, removal in
            for name in names {
                let isModel = !name.utf8.contains(UInt8(ascii: "@"))
                let model = isModel ? try ModelTable.id(of: name, db) : nil
                let revisions =
                    try model.map { try RevisionRow.all(of: $0, db) }
                    ?? [try RevisionRow.find(name, isExact: true, db)]
                for revision in revisions {
                    if let reason = try Self.hold(on: revision, holders, db) {
                        guard case .pinned = reason, force else { throw reason }
                    }
                    try removal.remove(revision, db)
                }
                if let model { try removal.removeModel(model, db) }
            }
        }
    }

    /// Removes the revisions that `choose` returns, except pinned and used ones, until `isEnough` returns true.
    func prune(
        dryRun: Bool, _ choose: (Database) throws -> [RevisionRow], until isEnough: (Removal) throws -> Bool
    ) throws -> RemovalSummary {
        try removing(dryRun: dryRun) { db, holders, removal in
            for revision in try choose(db) {
                if try isEnough(removal) { return }
                if let reason = try Self.hold(on: revision, holders, db) {
                    removal.summary.kept.append(
                        KeptRevision(revision: revision.name, reason: reason.keeps))
                } else {
                    try removal.remove(revision, db)
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

    private func removing(
        dryRun: Bool, _ body: (Database, [LeaseDirectory.Holder], inout Removal) throws -> Void
    ) throws -> RemovalSummary {
        let removal = try leases.whileNobodyStarts { holders in
            try change().commit(dryRun: dryRun) { db in
                try authority.require(db)
                var removal = Removal()
                try Removal.dropDeadClaims(leases, db)
                try body(db, holders, &removal)
                return (removal, Array(removal.models))
            }
        }
        if !dryRun {
            let deleted = try authority.delete(removal.blobs, .removed)
            let dropped = try authority.delete(removal.kvBlobs, .dropped)
            if deleted.kept + dropped.kept > 0 {
                logger.warning(
                    """
                    \(deleted.kept + dropped.kept) blobs were kept: they may belong to revisions that the last rebuild \
                    could not read
                    """)
            }
        }
        return removal.summary
    }
}
