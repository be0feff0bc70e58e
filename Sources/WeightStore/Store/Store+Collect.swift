import Files
import GRDB
import Glibc
import Storage

extension Store {
    /// Collects garbage: orphaned shards, blobs without rows, and leftovers of dead processes. Safe beside concurrent
    /// readers and imports. Blocks.
    ///
    /// - Parameters:
    ///   - graceSeconds: how long the shards of an interrupted import or pull are kept, so that it can resume.
    ///   - dryRun: whether nothing is removed, and the summary says what would be.
    /// - Throws: ``StorageError/busy(what:holder:)`` if another collection is running.
    @discardableResult
    public func collectGarbage(graceSeconds: Int = 86_400, dryRun: Bool = false) throws -> CollectionSummary {
        let lock = try FileDescriptor(path + "/gc.lock", O_RDWR | O_CREAT)
        guard try lock.tryLock() else { throw StorageError.busy(what: path, holder: "another garbage collection") }
        var summary = CollectionSummary()
        try collectStaging(&summary, dryRun: dryRun)
        let partials = try PartialShards(store: path).collect(olderThanSeconds: graceSeconds, dryRun: dryRun)
        summary.staged += partials.files
        summary.bytes += partials.bytes
        try collectOrphans(graceSeconds: graceSeconds, &summary, dryRun: dryRun)
        for directory in BlobDirectory.fanOut { try collectUnreferencedBlobs(directory, &summary, dryRun: dryRun) }
        try collectQuarantine(&summary, dryRun: dryRun)
        if !dryRun { try reserve.restore() }
        return summary
    }

    /// Removes the folders of dead processes: a folder in `staging/` is named after the lease of the process that
    /// writes to it.
    private func collectStaging(_ summary: inout CollectionSummary, dryRun: Bool) throws {
        let staging = path + "/staging"
        let folders = try FileSystem.entries(staging)
        let living = Set(try leases.holders().map(\.lease))
        for folder in folders where !living.contains(folder) {
            let folder = "\(staging)/\(folder)"
            guard try FileSystem.status(folder, following: false)?.isDirectory == true else {
                summary.unknownFiles.append(folder)
                continue
            }
            for file in try FileSystem.entries(folder) {
                summary.staged += 1
                summary.bytes += try FileSystem.status("\(folder)/\(file)", following: false)?.bytes ?? 0
            }
            if !dryRun { try FileSystem.removeTree(folder) }
        }
        // A rebuild requires that no other process has the store open, so these files belong to a dead one.
        let rebuild = path + "/rebuild"
        for file in try FileSystem.entries(rebuild) {
            summary.staged += 1
            summary.bytes += try FileSystem.status("\(rebuild)/\(file)", following: false)?.bytes ?? 0
        }
        if !dryRun { try FileSystem.removeTree(rebuild) }
    }

    private func collectOrphans(graceSeconds: Int, _ summary: inout CollectionSummary, dryRun: Bool) throws {
        let unreferenced = try catalog.read { db in try ShardTable.unreferenced(db) }
        let removal = try catalog.write(dryRun: dryRun) { db in
            var removal = Removal()
            try Removal.dropDeadClaims(leases, db)
            for shard in unreferenced where try ShardTable.isUnreferenced(shard, db) {
                try ShardTable.markOrphaned(shard, db)
            }
            for file in try FileTable.unlinked(db) { try removal.removeIfUnused(file: file, db) }
            for orphan in try ShardTable.orphans(since: StoreClock.now - graceSeconds, db) {
                try removal.removeIfUnused(shard: orphan, db)
            }
            // Sources that were not imported for 90 days.
            try SourceTable.forget(before: StoreClock.now - 90 * 86_400, db)
            return removal
        }
        summary.orphans += removal.summary.shards
        summary.bytes += removal.summary.bytes
        if !dryRun { try sweep(removal.blobs) }
    }

    /// Compares one directory of blobs with the catalog: removes blobs without a row, and marks shards without a blob
    /// as missing.
    private func collectUnreferencedBlobs(_ directory: String, _ summary: inout CollectionSummary, dryRun: Bool) throws
    {
        let (blobs, unknownFiles) = try blobs.contents(directory)
        summary.unknownFiles += unknownFiles.map { "\(self.blobs.root)/\(directory)/\($0)" }
        let known = try catalog.read { db in try Self.knownBlobs(directory, db) }
        let swept = try sweep(blobs.filter { !known.contains($0) }, dryRun: dryRun)
        summary.unreferencedBlobs += swept.blobs
        summary.bytes += swept.bytes
        let there = Set(blobs)
        for name in known where name.kind == .shard && !there.contains(name) {
            // Checked again under the write lock: its row may have been removed meanwhile.
            var lost = KVTable.Dropped()
            let isMissing = try catalog.write(dryRun: dryRun) { db in
                guard let row = try ShardTable.find(name.digest, db), row.state == .present,
                    !FileSystem.exists(self.blobs.path(name.digest))
                else { return false }
                if row.kind == .kv {
                    lost = try KVTable.drop([row.id], db)
                    return false
                }
                try ShardTable.mark(name.digest, as: .missing, db)
                summary.hits += try Self.revisions(holding: row.id, db)
                return true
            }
            if isMissing { summary.missing += 1 }
            summary.kvBlocks += lost.blocks
            let swept = try sweep(lost.blobs, dryRun: dryRun)
            summary.bytes += swept.bytes
        }
        summary.hits = Array(Set(summary.hits)).sorted()
    }

    /// The blobs that one of the 256 directories should contain.
    private static func knownBlobs(_ directory: String, _ db: Database) throws -> Set<BlobDirectory.Name> {
        guard let digests = ContentDigest.range(prefix: directory) else { return [] }
        var names: Set<BlobDirectory.Name> = []
        for (kind, sql) in [
            (BlobDirectory.Kind.shard, "SELECT digest FROM shard WHERE digest BETWEEN ? AND ? AND state = 'present'"),
            (.manifest, "SELECT digest FROM revision WHERE digest BETWEEN ? AND ?"),
            (.record, "SELECT record FROM model WHERE record BETWEEN ? AND ?"),
        ] {
            let known = try ContentDigest.fetchCursor(
                db.cachedStatement(sql: sql), arguments: [digests.lowerBound, digests.upperBound])
            while let digest = try known.next() { names.insert(.init(digest: digest, kind: kind)) }
        }
        return names
    }

    private func collectQuarantine(_ summary: inout CollectionSummary, dryRun: Bool) throws {
        for name in try FileSystem.entries(path + "/quarantine") {
            guard let digest = ContentDigest(hex: name.prefix(64)) else { continue }
            let row = try catalog.read { db in try ShardTable.find(digest, db) }
            guard row == nil || row?.state == .present else { continue }
            let file = "\(path)/quarantine/\(name)"
            summary.quarantined += 1
            summary.bytes += try FileSystem.status(file)?.bytes ?? 0
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
