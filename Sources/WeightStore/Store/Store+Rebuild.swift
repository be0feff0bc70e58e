import Files
import GRDB
import Glibc
import Logging
import Storage
import Support

extension Store {
    /// Makes a new catalog from the blobs alone: models, revisions, versions, refs, pins, origins, prompts, files,
    /// tensors, shards. Access counts, records of source files, and KV blocks are lost; blobs of KV blocks belong to no
    /// revision.
    ///
    /// Checks the sizes of shards, not their digests (``verify(_:work:)`` does that). The old catalog is kept under
    /// another name.
    ///
    /// Manifests and records that are damaged or missing are lost, and listed in ``RebuildSummary/lost``; so is a revision
    /// whose manifest gives a shard another size than an earlier one. The new catalog has no row of a lost revision, but
    /// remembers its loss: until it is imported again, or the user discards it, collections keep blobs without rows. They
    /// also keep ``RebuildSummary/unreferencedBlobs``, because these may not be garbage. A blob that cannot be read ends
    /// the rebuild.
    ///
    /// - Parameters:
    ///   - path: the directory of the store.
    ///   - work: counts directories of `blobs/` that are read, 256 in all. Cancelling it, or the task, ends the
    ///     rebuild and leaves the old catalog in place.
    ///   - logger: receives a warning if the rebuild waits for a lock.
    /// - Throws: ``StorageError/busy(what:holder:)`` if another process has the store open; ``FileError`` if a file or
    ///   directory cannot be read; ``StorageError/foreignBlobs(path:found:)`` if there are no blobs and no marker;
    ///   `CancellationError`. Then the old catalog stays in place.
    @discardableResult
    public static func rebuild(
        at path: String, work: Work = Work(), logger: Logger = Logger(label: "weightstore")
    ) async throws -> RebuildSummary {
        try await work.run { try rebuildBlocking(at: path, work: work, logger: logger) }
    }

    /// The blocking form of ``rebuild(at:work:logger:)``, for threads outside of Swift's cooperative pool.
    @discardableResult
    public static func rebuildBlocking(
        at path: String, work: Work = Work(), logger: Logger = Logger(label: "weightstore")
    ) throws -> RebuildSummary {
        if try FileSystem.isAbsent(path + "/blobs") { throw StorageError.notAStore(path: path) }
        let path = try FileSystem.resolve(path)
        try StoreAccess(path).requireWritable()
        try createFolders(path)
        let leases = try LeaseDirectory(path + "/leases", .readWrite, LockWait(work) { logger.warning("\($0)") })
        return try leases.withNewUsesBlocked(work) { holders in
            let others = holders.filter { $0.lease != leases.name }.map(\.process)
            guard others.isEmpty else {
                throw StorageError.busy(what: path, holder: others.joined(separator: ", "))
            }
            var summary = RebuildSummary()
            let aside = path + "/rebuild"
            if FileSystem.exists(aside) { try FileSystem.removeTree(aside) }
            try StoreFile.createDirectory(aside)
            do {
                let blobs = BlobDirectory(root: path + "/blobs")
                let lock = try WriteLock(path + "/write.lock")
                var superseded: [ContentDigest] = []
                try Catalog.create(in: aside, cacheBytes: Self.rebuildCacheBytes) { db in
                    let found = try fill(blobs, work, &summary, db)
                    try StoreIdentity.adopt(blobs, db)
                    try RebuildLoss.set(found.losses, db)
                    // Above it, as after a commit.
                    try CommitCounter.raise(to: lock.commits().adding(saturating: 1), db)
                    superseded = found.superseded
                }
                // The next change deletes them. Otherwise they would list their model again after it was removed.
                try lock.notePending(superseded)
            } catch {
                // The next run cannot reuse it. If the removal fails, the next run removes it.
                try? FileSystem.removeTree(aside)
                throw error
            }
            // First the old catalog is renamed, then its log, then the new catalog. A catalog without its log would
            // lack the last commits, and gc would remove their blobs; a log beside another catalog would be replayed
            // into it. Between the steps there is no catalog, and opening the store fails (`requireCatalog`).
            let stamp = StoreClock.now
            for suffix in ["", "-wal"] {
                guard let status = try FileSystem.status(path + "/store.db" + suffix) else { continue }
                if suffix == "-wal" && status.bytes == 0 {
                    try FileSystem.remove(path + "/store.db-wal")
                } else {
                    summary.oldCatalog = "\(path)/store.db.\(stamp)"
                    try FileSystem.rename(path + "/store.db" + suffix, to: "\(path)/store.db.\(stamp)\(suffix)")
                }
                try FileSystem.syncDirectory(path)
            }
            // Shared memory of processes that have ended; SQLite makes it again.
            try FileSystem.remove(path + "/store.db-shm")
            try FileSystem.rename(aside + "/store.db", to: path + "/store.db")
            try FileSystem.syncDirectory(path)
            try FileSystem.removeTree(aside)
            return summary
        }
    }

    /// The page cache of the new catalog. Digests are inserted in random order: the indexes on them, 80 bytes a shard,
    /// are changed all over.
    private static let rebuildCacheBytes = 128 << 20

    /// - Returns: the losses, and the blobs that belong to no revision; the records that a newer one of their model
    ///   supersedes.
    private static func fill(
        _ blobs: BlobDirectory, _ work: Work, _ summary: inout RebuildSummary, _ db: Database
    ) throws -> (losses: [RebuildLoss.Entry], superseded: [ContentDigest]) {
        let listing = try BlobListing(blobs, work)
        let found = try read(listing.records, in: blobs, work)
        // A record alone may have been written by an older program while the blobs were not mounted.
        if !listing.hasContents && found.lost.isEmpty {
            guard let marker = try StoreMarker(blobs).read(), !marker.isEmpty else {
                throw StorageError.foreignBlobs(path: blobs.root, found: nil)
            }
        }
        var newest: [ByteText: StoredRecord] = [:]
        for stored in found.records
        where newest[ByteText(stored.record.model)]?.record.sequence ?? -1 < stored.record.sequence {
            newest[ByteText(stored.record.model)] = stored
        }
        let models = newest.sorted { $0.key < $1.key }.map(\.value)
        let manifests = try ManifestReader(models.flatMap { $0.record.revisions.map(\.digest) }, blobs)
        var shards = ShardRestoration(blobs, listing)
        var lost = found.lost
        for stored in models {
            lost += try fill(stored.record, stored.digest, &shards, &summary, db) { _ in
                try work.check()
                return try manifests.next()
            }
        }
        summary.lost = lost.map { KeptRevision(revision: $0.name, reason: $0.reason) }
        if let unreferenced = shards.listing?.unreferenced(restored: Set(try RevisionTable.manifests(db))) {
            (summary.unreferencedBlobs, summary.unreferencedBytes) = unreferenced
            if unreferenced.blobs > 0 {
                lost.append(RebuildLoss.Entry(blobs: unreferenced.blobs, bytes: unreferenced.bytes))
            }
        }
        let used = Set(models.map(\.digest))
        return (lost, found.records.map(\.digest).filter { !used.contains($0) })
    }

    /// A record and the digest of its blob.
    struct StoredRecord {
        let record: ModelRecord
        let digest: ContentDigest
    }

    /// Reads all records in `blobs/`.
    ///
    /// - Returns: the records; those that are damaged or malformed.
    /// - Throws: ``FileError`` if one cannot be read: it may be whole.
    static func records(in blobs: BlobDirectory, _ work: Work) throws -> (
        records: [StoredRecord], lost: [RebuildLoss.Entry]
    ) {
        work.expect(BlobDirectory.fanOut.count)
        var names: [BlobDirectory.Name] = []
        for directory in BlobDirectory.fanOut {
            try work.check()
            work.advance(1)
            names += try blobs.contents(directory).blobs.filter { $0.kind == .record }
        }
        return try read(names, in: blobs, work)
    }

    private static func read(_ names: [BlobDirectory.Name], in blobs: BlobDirectory, _ work: Work) throws -> (
        records: [StoredRecord], lost: [RebuildLoss.Entry]
    ) {
        var found = (records: [StoredRecord](), lost: [RebuildLoss.Entry]())
        for name in names {
            try work.check()
            let blob = blobs.path(name.digest, .record)
            do {
                let record = try ModelRecord(decoding: try checked(name, blobs), path: blob)
                found.records.append(StoredRecord(record: record, digest: name.digest))
            } catch let error as StorageError {
                found.lost.append(.init(name: blob, manifest: nil, reason: "\(error)"))
            }
        }
        return found
    }

    /// Inserts a model and its revisions.
    ///
    /// - Parameter manifest: the manifest of a revision. It is called for each one, in their order.
    /// - Returns: the revisions whose manifests are damaged or missing.
    static func fill(
        _ record: ModelRecord, _ digest: ContentDigest, _ shards: inout ShardRestoration,
        _ summary: inout RebuildSummary, _ db: Database, manifest: (ModelRecord.Revision) throws -> Manifest
    ) throws -> [RebuildLoss.Entry] {
        var lost: [RebuildLoss.Entry] = []
        let model = try ModelTable.restore(record, digest: digest, db)
        summary.models += 1
        for revision in record.revisions {
            let name = name(of: revision, record.model)
            do {
                try fill(
                    revision, manifest(revision), of: model, record.origins(of: revision), &shards, &summary, db)
            } catch let error as StorageError {
                lost.append(.init(name: name, manifest: revision.digest, reason: "\(error)"))
            }
        }
        for (ref, digest) in record.refs {
            guard let revision = try RevisionTable.find(digest, of: model, db) else { continue }
            try RefTable.set(ref, of: model, to: revision.id, db)
            summary.refs += 1
        }
        for prompt in record.prompts ?? [] {
            try PromptTable.insert(prompt.name, TokenList(prompt.tokens), of: model, createdAt: prompt.createdAt, db)
            summary.prompts += 1
        }
        return lost
    }

    /// Reads a manifest.
    ///
    /// - Throws: ``StorageError`` if it is missing, damaged or malformed; ``FileError`` if it cannot be read.
    static func manifest(of revision: ContentDigest, _ blobs: BlobDirectory) throws -> Manifest {
        let bytes = try checked(.init(digest: revision, kind: .manifest), blobs)
        return try Manifest(decoding: bytes, path: blobs.path(revision, .manifest))
    }

    /// Inserts a revision and the rows of its files.
    ///
    /// - Throws: as `ShardRestoration.check`, before anything is changed.
    static func fill(
        _ revision: ModelRecord.Revision, _ manifest: Manifest, of model: Int64, _ origins: [OriginEntry],
        _ shards: inout ShardRestoration, _ summary: inout RebuildSummary, _ db: Database
    ) throws {
        try shards.check(manifest, db)
        let id = try RevisionTable.insert(
            manifest, digest: revision.digest, model: model, version: revision.version, source: revision.source,
            createdAt: revision.createdAt, db)
        // Before the files, as in `RevisionRow.save`.
        try OriginTable.set(origins, of: id, db)
        let hasOrigin = origins.contains { $0.absentAt == nil }
        for file in manifest.files {
            try shards.restore(file, of: id, hasOrigin: hasOrigin, &summary, db)
        }
        // The rows of the move are lost: the next import of the source adds to the files that were stored.
        if revision.version == nil { _ = try MoveTable.add(source: revision.source, revision: id, db) }
        if let note = revision.pin { try PinTable.pin(id, note: note, db) }
        summary.revisions += 1
        summary.tensors += manifest.files.reduce(0) { $0 + $1.content.tensors.count }
    }

    /// The bytes of a small blob, checked against the digest in its name.
    private static func checked(_ name: BlobDirectory.Name, _ blobs: BlobDirectory) throws -> [UInt8] {
        let blob = blobs.path(name.digest, name.kind)
        do {
            guard let file = try FileDescriptor.openIfPresent(blob) else {
                throw StorageError.missing(path: blob, digest: name.digest)
            }
            guard let bytes = try file.readAll(ifAtMost: Manifest.maximumBytes) else {
                throw StorageError.damaged(
                    path: blob, digest: name.digest, expected: "at most \(Manifest.maximumBytes) bytes", found: "more")
            }
            try StorageError.check(bytes.withUnsafeBytes { ContentDigest(of: $0) }, is: name.digest, of: blob)
            return bytes
        } catch FileError.notRegular(_, let found) {
            throw StorageError.damaged(path: blob, digest: name.digest, expected: "a regular file", found: found)
        }
    }
}
