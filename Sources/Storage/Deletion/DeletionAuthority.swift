import Files
import GRDB

/// The one authority that deletes blobs: every unlink of a file in `blobs/` is made here, under the write lock, which
/// additions of blobs also hold. These rules decide each deletion:
///
/// 1. **The catalog was read without error.** An error of SQLite or of the file system ends the deletion.
/// 2. **The catalog is not older than the blobs** (`CommitCounter`): an older one does not know the newest blobs.
/// 3. **The blobs are those of this store** (`StoreMarker`): their marker is present and has the store's id.
/// 4. **No row keeps the blob.** A shard is kept by its row in any state but `evicted`: `present` says that the blob is
///    needed, `missing` and `quarantined` that it was needed and is back. A manifest is kept by a revision, a record by a
///    model.
/// 5. **What a rebuild could not read is not garbage** (`RebuildLoss`): until that is settled, shards and manifests
///    without rows are kept, because they may belong to lost revisions. So are those that a rebuild found without a
///    revision. Dropped KV blocks and replaced records are not such bytes.
/// 6. **A blob without a row, for an unknown reason, is kept for the grace period**, from the last change of its file.
///    A blob whose row a transaction has just deleted is not: its deletion was decided with the row.
///
/// The transaction that deletes or changes the rows commits before the unlink, so that a crash leaves a file without a
/// row and never a row without its file. Deletions are cut into slices of 64 blobs, so that a long one does not block
/// other writers.
package struct DeletionAuthority: Sendable {
    /// The reason why a blob may have become garbage.
    package enum Reason: Sendable {
        /// A transaction has removed its row, because nothing references it any more.
        case removed
        /// A transaction has marked its row as evicted.
        case evicted
        /// A transaction has replaced the record or the provisional manifest by a newer one.
        case replaced
        /// A transaction has dropped the KV block.
        case dropped
        /// A collection has found the blob without a row. It is kept if its file changed after `changedBefore`, in
        /// nanoseconds since 1970.
        case unreferenced(changedBefore: Int64)
    }

    /// The result of a deletion.
    package struct Result: Sendable {
        /// The number of blobs deleted.
        package var blobs = 0
        /// Their size, in bytes.
        package var bytes = 0
        /// The number of blobs that rule 5 keeps.
        package var kept = 0
    }

    package let catalog: Catalog
    package let blobs: BlobDirectory

    package init(catalog: Catalog, blobs: BlobDirectory) {
        self.catalog = catalog
        self.blobs = blobs
    }

    /// Checks rules 2 and 3. A call that makes garbage runs it first, in its transaction, so that it is refused as a
    /// whole.
    ///
    /// - Throws: ``StorageError/catalogOlder(path:)``, ``StorageError/foreignBlobs(path:found:)``.
    package func require(_ db: Database) throws {
        if try catalog.isOlder(db) { throw StorageError.catalogOlder(path: catalog.path) }
        try StoreIdentity.require(blobs, db)
    }

    /// Deletes those of the blobs that the rules allow.
    ///
    /// - Parameter dryRun: count, but delete nothing.
    /// - Throws: as `require`.
    @discardableResult
    package func delete(_ candidates: [BlobDirectory.Name], _ reason: Reason, dryRun: Bool = false) throws -> Result {
        var result = Result()
        var rest = candidates[...]
        while !rest.isEmpty {
            let slice = rest.prefix(64)
            rest = rest.dropFirst(slice.count)
            try catalog.write { db in
                try require(db)
                let isLossOpen = try RebuildLoss.exists(db)
                for name in slice { try delete(name, reason, isLossOpen: isLossOpen, dryRun: dryRun, &result, db) }
            }
        }
        return result
    }

    /// As `delete`, but leaves the blobs to the next collection if rule 2 or 3 forbids deletions: for a read that drops
    /// a damaged KV block, and for the last step of a change that is committed.
    @discardableResult
    package func deleteIfAllowed(_ candidates: [BlobDirectory.Name], _ reason: Reason) throws -> Result {
        do {
            return try delete(candidates, reason)
        } catch let error as StorageError where error.isRefusedDeletion {
            return Result()
        }
    }

    /// Deletes those records that interrupted changes have noted and that no model has; inside of `Catalog.write`,
    /// before the transaction changes a row.
    ///
    /// - Returns: those that stay noted, because rule 2 or 3 forbids deletions.
    @discardableResult
    package func deletePending(_ db: Database) throws -> [ContentDigest] {
        let records = try catalog.pendingRecords()
        guard !records.isEmpty, try deleteReplaced(records, db) else { return records }
        try catalog.notePending([])
        return []
    }

    /// Deletes the records that a committed transaction has replaced; inside of `Catalog.write`, after the commit.
    ///
    /// - Returns: false if rule 2 or 3 forbids deletions.
    func deleteReplaced(_ records: [ContentDigest], _ db: Database) throws -> Bool {
        do {
            try require(db)
        } catch let error as StorageError where error.isRefusedDeletion {
            return false
        }
        var result = Result()
        for digest in records {
            // Rule 5 keeps no replaced record.
            try delete(
                .init(digest: digest, kind: .record), .replaced, isLossOpen: false, dryRun: false, &result, db)
        }
        return true
    }

    private func delete(
        _ name: BlobDirectory.Name, _ reason: Reason, isLossOpen: Bool, dryRun: Bool, _ result: inout Result,
        _ db: Database
    ) throws {
        let row = try row(of: name, db)
        if row == .keeps { return }
        let path = blobs.path(name.digest, name.kind)
        // A directory is no blob: it stays.
        guard let status = try FileSystem.status(path, following: false), !status.isDirectory else { return }
        if row == .none {
            if isLossOpen, reason.mayHitLoss(name.kind) {
                result.kept += 1
                return
            }
            if case .unreferenced(let moment) = reason, max(status.changed, status.modified) > moment { return }
        }
        if !dryRun { try FileSystem.remove(path) }
        result.blobs += 1
        result.bytes += status.bytes
    }

    private enum BlobRow {
        case none, evicted, keeps
    }

    private func row(of name: BlobDirectory.Name, _ db: Database) throws -> BlobRow {
        switch name.kind {
        case .shard:
            guard let shard = try ShardTable.find(name.digest, db) else { return .none }
            return shard.state == .evicted ? .evicted : .keeps
        case .manifest: return try RevisionTable.hasManifest(name.digest, db) ? .keeps : .none
        case .record: return try ModelTable.hasRecord(name.digest, db) ? .keeps : .none
        }
    }
}

extension DeletionAuthority.Reason {
    /// Whether a blob without a row may be what a rebuild has lost. The record of a removed model is not.
    fileprivate func mayHitLoss(_ kind: BlobDirectory.Kind) -> Bool {
        switch self {
        case .removed: kind != .record
        case .unreferenced, .evicted: true
        case .replaced, .dropped: false
        }
    }
}

extension StorageError {
    /// Whether the error says that nothing may be deleted from the store now, although it can be read.
    package var isRefusedDeletion: Bool {
        switch self {
        case .catalogOlder, .foreignBlobs: true
        default: false
        }
    }
}
