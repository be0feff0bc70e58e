import Files
import GRDB
import Glibc
import Storage
import Support

/// A catalog that is older than the blobs: an older copy of `store.db` that was put back.
extension Store {
    /// Adds the revisions of newer records in `blobs/` to the catalog, and accepts the catalog as current. It is the
    /// last step of a restore: put the copy that ``backUp(to:)`` made in place of `store.db`, then merge.
    ///
    /// A record is newer if no model of the catalog has it. Its revisions are added with their versions, refs, pins,
    /// origins and prompts. A revision is removed from the catalog if the newer record no longer lists it and its
    /// manifest is gone. Shards that an origin has and whose blobs are gone are listed as evicted. A model that was
    /// removed after the copy is listed again, with missing shards. If the catalog was older, collections keep
    /// ``RebuildSummary/unreferencedBlobs``, as after a rebuild.
    ///
    /// - Parameter work: counts directories of `blobs/` that are read, 256 in all.
    /// - Returns: the numbers of added models, revisions and shards.
    /// - Throws: ``StorageError/busy(what:holder:)`` if a collection is running;
    ///   ``StorageError/foreignBlobs(path:found:)`` if the blobs have the marker of another store; ``FileError`` if a file
    ///   cannot be read; `CancellationError`. Then the catalog stays older, and the next merge continues.
    @discardableResult
    public func mergeNewer(work: Work = Work()) async throws -> RebuildSummary {
        try await work.run { try self.mergeNewerBlocking(work: work) }
    }

    /// The blocking form of ``mergeNewer(work:)``, for threads outside of Swift's cooperative pool.
    @discardableResult
    public func mergeNewerBlocking(work: Work = Work()) throws -> RebuildSummary {
        let lock = try lockFile("gc.lock")
        guard try lock.tryLock() else { throw StorageError.busy(what: path, holder: "a collection") }
        try catalog.write { db in
            try StoreIdentity.confirm(blobs, db)
            // In a current catalog, the record of an interrupted change is not newer: it was not committed.
            try authority.deletePending(db)
        }
        var summary = RebuildSummary()
        let found = try newerRecords(work)
        var lost = found.lost
        for stored in found.records {
            try work.check()
            lost += try change(work).commit { db in try merge(stored, &summary, db) }
        }
        // No blob is deleted before the catalog is current.
        try slices(SpareReserve(reserve), work, deletesBlobs: false).visit(
            catalog.read { db in try FileTable.unlinked(db) })
        summary.shards += try reinstateEvicted(work)
        // If the catalog was current, a blob without a row is no loss.
        let wasOlder = try catalog.write { db in try catalog.isOlder(db) }
        let unlisted = wasOlder ? try BlobSurvey(catalog, blobs).unlisted(catalog, blobs, &summary) : []
        try catalog.write { db in
            for digest in try ShardTable.fetchable(db) where try FileSystem.isAbsent(blobs.path(digest)) {
                try ShardTable.mark(digest, as: .evicted, db)
                summary.evicted += 1
            }
            if !unlisted.isEmpty { try RebuildLoss.settleBlobs(db) }
            try RebuildLoss.set(RebuildLoss.all(db) + lost + unlisted, db)
            // The records that are kept below are not those of an interrupted change.
            if !lost.isEmpty { try catalog.notePending([]) }
            try catalog.acceptAsCurrent(db)
        }
        // A record that stayed behind would list its model again at a rebuild, after the user has removed it. One whose
        // manifests are lost is kept: they may be back at the next merge.
        if lost.isEmpty {
            try authority.deleteIfAllowed(
                found.records.map { .init(digest: $0.digest, kind: .record) }, .replaced)
        }
        summary.lost = lost.map { KeptRevision(revision: $0.name, reason: $0.reason) }
        return summary
    }

    /// Makes shards present that the catalog lists as evicted and whose blobs exist: they have been fetched or imported
    /// again, and the revision that needs them may have no origin.
    private func reinstateEvicted(_ work: Work) throws -> Int {
        var count = 0
        for shard in try catalog.read({ db in try ShardTable.evicted(db) }) {
            try work.check()
            let blob = blobs.path(shard.digest)
            if try FileSystem.isAbsent(blob) { continue }
            try catalog.write { db in
                if try ShardTable.find(shard.digest, db)?.state == .evicted {
                    try ShardTable.mark(shard.digest, as: .missing, db)
                }
            }
            if try reinstate(shard, from: blob, work) { count += 1 }
        }
        return count
    }

    /// The revisions and blobs that the catalog lacks, and that a collection with `discardingNewer` deletes: revisions
    /// that only newer records in `blobs/` list, and revisions and blobs that the last rebuild could not read or
    /// assign.
    public func newerThanCatalog() throws -> [KeptRevision] {
        let (lost, isOlder) = try catalog.write { db in (try RebuildLoss.all(db), try catalog.isOlder(db)) }
        var all = lost.map { KeptRevision(revision: $0.name, reason: $0.reason) }
        if !isOlder { return all }
        let found = try newerRecords(Work())
        all += found.lost.map { KeptRevision(revision: $0.name, reason: $0.reason) }
        try catalog.read { db in
            for stored in found.records {
                let model = try ModelTable.find(stored.record.model, db)
                for revision in stored.record.revisions {
                    if let model, try RevisionTable.find(revision.digest, of: model, db) != nil { continue }
                    all.append(
                        KeptRevision(
                            revision: Self.name(of: revision, stored.record.model), reason: "newer than the catalog"))
                }
            }
        }
        return all
    }

    /// The records in `blobs/` that no model has, the newest first.
    private func newerRecords(_ work: Work) throws -> (records: [StoredRecord], lost: [RebuildLoss.Entry]) {
        let found = try Self.records(in: blobs, work)
        let known = Set(try catalog.read { db in try ModelTable.records(db) })
        return (
            found.records.filter { !known.contains($0.digest) }.sorted { $0.record.sequence > $1.record.sequence },
            found.lost
        )
    }

    static func name(of revision: ModelRecord.Revision, _ model: String) -> String {
        RevisionName.text(model, version: revision.version, digest: revision.digest)
    }

    /// - Returns: the revisions whose manifests are lost, and the model whose record is rewritten.
    private func merge(_ stored: StoredRecord, _ summary: inout RebuildSummary, _ db: Database) throws -> (
        result: [RebuildLoss.Entry], models: [Int64]
    ) {
        let record = stored.record
        guard let known = try ModelTable.all(db).first(where: { $0.name == record.model }) else {
            var shards = ShardRestoration(blobs, nil)
            let lost = try Self.fill(record, stored.digest, &shards, &summary, db) { revision in
                try Self.manifest(of: revision.digest, blobs)
            }
            return (lost, try ModelTable.find(record.model, db).map { [$0] } ?? [])
        }
        let model = known.id
        let isNewer = record.sequence > known.sequence
        var lost: [RebuildLoss.Entry] = []
        for revision in record.revisions {
            if let listed = try RevisionTable.find(revision.digest, of: model, db) {
                if isNewer, let note = revision.pin { try PinTable.pin(listed.id, note: note, db) }
                continue
            }
            do {
                let manifest = try Self.manifest(of: revision.digest, blobs)
                try add(revision, manifest, of: model, besides: record, &summary, db)
            } catch let error as StorageError {
                // An older record that a crash left may list revisions that were removed.
                if case .missing = error, !isNewer { continue }
                lost.append(
                    .init(
                        name: Self.name(of: revision, record.model), manifest: revision.digest, reason: "\(error)"))
            }
        }
        if isNewer { try removeUnlisted(from: model, record, db) }
        let refs = try RefTable.targets(of: model, db)
        for (ref, digest) in record.refs where isNewer || refs[ref] == nil {
            guard refs[ref] != digest, let revision = try RevisionTable.find(digest, of: model, db) else { continue }
            try RefTable.set(ref, of: model, to: revision.id, db)
            summary.refs += 1
        }
        try addOrigins(of: record, to: model, areNewer: isNewer, db)
        let prompts = try PromptTable.records(of: model, db)
        let (names, texts) = (Set(prompts.map(\.name)), Set(prompts.map(\.tokens)))
        for prompt in record.prompts ?? [] where !names.contains(prompt.name) && !texts.contains(prompt.tokens) {
            try PromptTable.insert(prompt.name, TokenList(prompt.tokens), of: model, createdAt: prompt.createdAt, db)
            summary.prompts += 1
        }
        try ModelTable.raise(to: record, of: model, db)
        summary.models += 1
        return (lost, [model])
    }

    /// Adds a revision. One that was a pull under way in the catalog, and is complete in the record, gets its final digest.
    private func add(
        _ revision: ModelRecord.Revision, _ manifest: Manifest, of model: Int64, besides record: ModelRecord,
        _ summary: inout RebuildSummary, _ db: Database
    ) throws {
        var shards = ShardRestoration(blobs, nil)
        // Before another revision makes room for this one.
        try shards.check(manifest, db)
        var revision = revision
        if let version = revision.version {
            let listed = Set(record.revisions.map(\.digest))
            let holder = try RevisionRow.all(
                where: "revision.model_id = ? AND revision.version = ?", [model, version], db
            )
            .first
            if let holder, !listed.contains(holder.digest),
                try RevisionTable.provisionalDigest(of: holder.id, db) == holder.digest
            {
                // The complete revision takes its version, and its number of the next version stays.
                try RevisionTable.remove(holder.id, db)
            } else if holder != nil {
                revision.version = try ModelTable.nextVersion(of: model, wanted: nil, db)
            }
        }
        try Self.fill(revision, manifest, of: model, record.origins(of: revision), &shards, &summary, db)
    }

    /// Adds the origins of a record's revisions to those of the catalog; the newer ones are nearer.
    private func addOrigins(
        of record: ModelRecord, to model: Int64, areNewer: Bool, _ db: Database
    ) throws {
        for revision in record.revisions {
            guard let id = try RevisionTable.find(revision.digest, of: model, db)?.id else { continue }
            let (known, added) = (try OriginTable.all(of: id, db), record.origins(of: revision))
            let (first, others) = areNewer ? (added, known) : (known, added)
            let nearest = Set(first.map { ByteText($0.url) })
            try OriginTable.set(first + others.filter { !nearest.contains(ByteText($0.url)) }, of: id, db)
        }
    }

    /// Removes the rows of revisions that a newer record no longer lists and whose manifests are gone. No blob is deleted.
    private func removeUnlisted(from model: Int64, _ record: ModelRecord, _ db: Database) throws {
        let listed = Set(record.revisions.map(\.digest))
        var removal = Removal()
        for row in try RevisionRow.all(of: model, db)
        where try !listed.contains(row.digest) && FileSystem.isAbsent(blobs.path(row.digest, .manifest)) {
            try removal.remove(row, db)
        }
    }
}
