import Files
import GRDB
import Glibc
import Storage
import Support

extension Store {
    /// Collects garbage: orphaned shards, blobs without rows, and leftovers of dead processes. Safe beside concurrent
    /// readers and imports. Blocks.
    ///
    /// `DeletionAuthority` decides each deletion. Shards whose blobs are missing are marked as missing. Shards that
    /// were missing or quarantined and whose blobs are back are hashed and become present again. Manifests and records
    /// that are missing or empty are rewritten.
    ///
    /// Only directories of `blobs/` are read that have changed since a collection found them in order. Once a week, and in
    /// a store without an earlier collection, all are read, and all rows are checked.
    ///
    /// - Parameters:
    ///   - graceSeconds: how long blobs without rows are kept, and the shards of an interrupted import or pull, so that
    ///     it can resume.
    ///   - discardingNewer: whether to discard the revisions and blobs that ``newerThanCatalog()`` lists. Otherwise the
    ///     call throws if the catalog is older than the blobs, and keeps the blobs that the last rebuild could not read
    ///     or assign to a revision.
    ///   - full: whether to read all directories and check all rows, even if a collection has done so within a week.
    ///   - dryRun: whether nothing is removed, and the summary says what would be.
    /// - Throws: ``StorageError/busy(what:holder:)`` if another collection is running;
    ///   ``StorageError/catalogOlder(path:)``, ``StorageError/foreignBlobs(path:found:)``; if more than 10 shards and more
    ///   than 0.1 % of them are missing, ``StorageError/tooManyMissing(path:missing:shards:)``, and then no blob is
    ///   deleted and no shard is marked.
    @discardableResult
    public func collectGarbage(
        graceSeconds: Int = 86_400, discardingNewer: Bool = false, full: Bool = false, dryRun: Bool = false
    ) throws -> CollectionSummary {
        let lock = try lockFile("gc.lock")
        guard try lock.tryLock() else { throw StorageError.busy(what: path, holder: "another garbage collection") }
        var summary = CollectionSummary()
        try catalog.write(dryRun: dryRun) { db in
            if discardingNewer {
                try catalog.acceptAsCurrent(db)
                try RebuildLoss.clear(db)
            }
            try authority.require(db)
            if !dryRun { try authority.deletePending(db) }
        }
        let spare = SpareReserve(reserve)
        let scope = try SurveyScope(catalog, blobs, full: full || discardingNewer)
        if !dryRun { try spare.retrying { try scope.begin(catalog) } }
        let survey = try BlobSurvey(catalog, blobs, scope.directories)
        try survey.requireFewMissing(catalog)
        try collectStaging(&summary, dryRun: dryRun)
        let partials = try PartialShards(store: path).collect(olderThanSeconds: graceSeconds, dryRun: dryRun)
        summary.staged += partials.files
        summary.bytes.add(saturating: partials.bytes)
        summary.unknownFiles += partials.unknown
        try collectOrphans(
            scope, graceSeconds: graceSeconds, &summary, spare, Work(within: missWork), dryRun: dryRun)
        summary.unknownFiles += survey.unknownFiles
        try markMissing(survey.missing, &summary, dryRun: dryRun)
        try collectReappeared(survey.reappeared, &summary, dryRun: dryRun)
        try collectDescriptions(survey.undescribed, &summary, dryRun: dryRun)
        let changedBefore = StoreClock.nanoseconds - Int64(min(max(graceSeconds, 0), 1 << 32)) * 1_000_000_000
        let deleted = try authority.delete(
            survey.unreferenced, .unreferenced(changedBefore: changedBefore), dryRun: dryRun)
        summary.unreferencedBlobs += deleted.blobs
        summary.bytes.add(saturating: deleted.bytes)
        summary.kept += deleted.kept
        if summary.kept == 0, !dryRun, try catalog.read({ db in try RebuildLoss.exists(db) }) {
            try catalog.write { db in try RebuildLoss.settleBlobs(db) }
        }
        try collectQuarantine(&summary, dryRun: dryRun)
        if !dryRun {
            try spare.retrying { try scope.finish(survey, catalog) }
            try reserve.restore()
            note(summary)
        }
        return summary
    }

    private func note(_ summary: CollectionSummary) {
        let removed = [
            ("orphaned shard", summary.orphans), ("blob without a row", summary.unreferencedBlobs),
            ("unfinished file", summary.staged), ("quarantined file", summary.quarantined),
            ("KV block", summary.kvBlocks),
        ].filter { $0.1 > 0 }
        if removed.isEmpty { return }
        record(
            StoreEvent(
                .collected, "", bytes: summary.bytes, count: removed.saturatingSum(\.1),
                detail: removed.map { "\($0.0): \($0.1)" }.joined(separator: ", ")))
    }

    /// Removes the folders of dead processes: a folder in `staging/` is named after the lease of the process that
    /// writes to it.
    private func collectStaging(_ summary: inout CollectionSummary, dryRun: Bool) throws {
        let staging = path + "/staging"
        let folders = try FileSystem.listing(staging)
        summary.unknownFiles += folders.undecodable.map { "\(staging)/\($0)" }
        let living = Set(try leases.holders().map(\.lease))
        for folder in folders.names where !living.contains(folder) {
            let folder = "\(staging)/\(folder)"
            guard try FileSystem.status(folder, following: false)?.isDirectory == true else {
                summary.unknownFiles.append(folder)
                continue
            }
            let files = try FileSystem.listing(folder)
            summary.staged += files.undecodable.count
            for file in files.names {
                summary.staged += 1
                summary.bytes.add(saturating: try FileSystem.status("\(folder)/\(file)", following: false)?.bytes ?? 0)
            }
            if !dryRun { try FileSystem.removeTree(folder) }
        }
        // A rebuild requires that no other process has the store open, so these files belong to a dead one.
        let rebuild = path + "/rebuild"
        for file in try FileSystem.entries(rebuild) {
            summary.staged += 1
            summary.bytes.add(saturating: try FileSystem.status("\(rebuild)/\(file)", following: false)?.bytes ?? 0)
        }
        if !dryRun { try FileSystem.removeTree(rebuild) }
    }

    /// Removes files that no revision links, and shards that have been orphans since the grace period.
    private func collectOrphans(
        _ scope: SurveyScope, graceSeconds: Int, _ summary: inout CollectionSummary, _ spare: SpareReserve,
        _ work: Work, dryRun: Bool
    ) throws {
        let moment = StoreClock.now.subtracting(saturating: graceSeconds)
        let (files, unreferenced): ([Int64], [Int64]) = try catalog.read { db in
            if !scope.isFull { return (try FileTable.unlinked(db), []) }
            return (try FileTable.allUnlinked(db), try ShardTable.unreferenced(db))
        }
        if dryRun {
            let living = try leases.holders().map(\.lease)
            let freed = try catalog.read { db in
                try FreedRows.begin(db)
                try FreedRows.leave(files: files, db)
                let orphans = try ShardTable.orphans(since: moment, db) + (graceSeconds <= 0 ? unreferenced : [])
                return try FreedRows.count(beside: living, and: orphans, db)
            }
            summary.orphans += freed.shards
            summary.bytes.add(saturating: freed.bytes)
            return
        }
        let slices = slices(spare, work)
        try slices.dropDeadClaims()
        try slices.orphan(unreferenced)
        try slices.visit(files)
        try slices.dropAbandonedBlocks()
        try slices.remove(shards: catalog.read { db in try ShardTable.orphans(since: moment, db) })
        // Sources that were not imported for 90 days.
        try slices.forgetSources(before: StoreClock.now - 90 * 86_400)
        summary.orphans += slices.totals.shards
        summary.bytes.add(saturating: slices.totals.bytes)
        summary.kept += slices.totals.kept
    }

    /// Marks shards whose blobs do not exist as missing, and drops KV blocks.
    private func markMissing(_ digests: [ContentDigest], _ summary: inout CollectionSummary, dryRun: Bool) throws {
        for digest in digests {
            // Checked again under the write lock: its row may have been removed meanwhile.
            var lost = KVTable.Dropped()
            let isMissing = try catalog.write(dryRun: dryRun) { db in
                // Again, because the directory may have been unmounted meanwhile.
                try StoreIdentity.require(blobs, db)
                guard let row = try ShardTable.find(digest, db), row.state == .present,
                    try FileSystem.isAbsent(self.blobs.path(digest))
                else { return false }
                if row.kind == .kv {
                    lost = try KVTable.drop([row.id], db)
                    // A file may have the same bytes.
                    guard let rest = try ShardTable.find(digest, db), rest.kind != .kv else { return false }
                }
                try ShardTable.mark(digest, as: .missing, db)
                let damage = BlobDamage(state: .missing, detail: "its file does not exist")
                summary.affectedRevisions += try Self.recordDamage(damage, of: row, db)
                return true
            }
            if isMissing { summary.missing += 1 }
            summary.kvBlocks += lost.blocks
            summary.bytes.add(saturating: try authority.delete(lost.blobs, .dropped, dryRun: dryRun).bytes)
        }
        summary.affectedRevisions = Array(Set(summary.affectedRevisions)).sorted()
    }

    /// Hashes blobs of shards that are listed as missing or quarantined.
    private func collectReappeared(_ digests: [ContentDigest], _ summary: inout CollectionSummary, dryRun: Bool) throws
    {
        for digest in digests {
            guard let shard = try catalog.read({ db in try ShardTable.find(digest, db) }) else { continue }
            let isBack = try dryRun || reinstate(shard, from: blobs.path(digest), Work())
            if isBack { summary.reinstated += 1 }
        }
    }

    /// Rewrites manifests and records that are missing or empty.
    private func collectDescriptions(
        _ names: [BlobDirectory.Name], _ summary: inout CollectionSummary, dryRun: Bool
    ) throws {
        let bad = try names.compactMap { name -> BadDescription? in
            // It may have been replaced or removed meanwhile.
            let isThere = try FileSystem.status(blobs.path(name.digest, name.kind)).map { $0.bytes > 0 } ?? false
            return try isThere || !isKnown(name) ? nil : BadDescription(name: name, detail: "missing")
        }
        if dryRun { return summary.rewritten += bad.count }
        let result = try restore(bad)
        summary.rewritten += result.restored
        for description in result.lost {
            summary.unrestorable += try revisions(describedBy: description.name)
            logger.error(
                "\(blobs.path(description.name.digest, description.name.kind)): missing, and cannot be rewritten from the catalog"
            )
        }
    }

    /// Removes the damaged files of shards that are whole again. A directory holds nothing that the store has put there: it
    /// stays, and is reported.
    private func collectQuarantine(_ summary: inout CollectionSummary, dryRun: Bool) throws {
        let quarantine = path + "/quarantine"
        let entries = try FileSystem.listing(quarantine)
        summary.unknownFiles += entries.undecodable.map { "\(quarantine)/\($0)" }
        for name in entries.names {
            let file = "\(quarantine)/\(name)"
            // It may be removed meanwhile.
            guard let status = try FileSystem.status(file, following: false) else { continue }
            if status.isDirectory {
                summary.unknownFiles.append(file)
                continue
            }
            guard let digest = ContentDigest(hex: name.prefix(64)) else { continue }
            let isHealed = try catalog.read { db in
                guard let row = try ShardTable.find(digest, db) else { return try !RebuildLoss.exists(db) }
                return row.state == .present
            }
            guard isHealed else { continue }
            summary.quarantined += 1
            summary.bytes.add(saturating: status.bytes)
            if !dryRun { try FileSystem.remove(file) }
        }
    }

    /// The names of the revisions that hold a shard.
    static func revisions(holding shard: Int64, _ db: Database) throws -> [String] {
        try RevisionRow.all(
            where: """
                revision.id IN (
                  SELECT revision_file.revision_id
                  FROM extent JOIN revision_file ON revision_file.file_id = extent.file_id
                  WHERE extent.shard_id = ?)
                """, [shard], db
        ).map(\.name)
    }
}
