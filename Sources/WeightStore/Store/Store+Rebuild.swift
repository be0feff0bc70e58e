import Files
import GRDB
import Glibc
import Storage
import Support

extension Store {
    /// Makes a new catalog from the blobs alone: models, revisions, versions, refs, pins, origins, prompts, files,
    /// tensors, shards. Access counts, records of source files, and KV blocks are lost; blobs of KV blocks become
    /// garbage.
    ///
    /// Checks the sizes of shards, not their digests (``verify(_:work:)`` does that). The old catalog is kept under
    /// another name.
    ///
    /// - Parameters:
    ///   - path: the directory of the store.
    ///   - work: counts directories of `blobs/` that are read, 256 in all. Cancelling it, or the task, ends the
    ///     rebuild and leaves the old catalog in place.
    /// - Throws: ``StorageError/busy(what:holder:)`` if another process has the store open; `CancellationError`.
    @discardableResult
    public static func rebuild(at path: String, work: Work = Work()) async throws -> RebuildSummary {
        try await work.run { try rebuildBlocking(at: path, work: work) }
    }

    /// The blocking form of ``rebuild(at:work:)``, for threads outside of Swift's cooperative pool.
    @discardableResult
    public static func rebuildBlocking(at path: String, work: Work = Work()) throws -> RebuildSummary {
        guard FileSystem.exists(path + "/blobs") else { throw StorageError.notAStore(path: path) }
        let path = try FileSystem.resolve(path)
        let leases = try LeaseDirectory(path + "/leases")
        return try leases.whileNobodyStarts { holders in
            let others = holders.filter { $0.lease != leases.name }.map(\.process)
            guard others.isEmpty else {
                throw StorageError.busy(what: path, holder: others.joined(separator: ", "))
            }
            var summary = RebuildSummary()
            let aside = path + "/rebuild"
            if FileSystem.exists(aside) { try FileSystem.removeTree(aside) }
            try FileSystem.createDirectory(aside)
            do {
                let catalog = try Catalog(directory: aside, leases: nil)
                try fill(catalog, BlobDirectory(root: path + "/blobs"), work, &summary)
                try catalog.fold()
            } catch {
                // The next run cannot reuse it. If the removal fails, the next run removes it.
                try? FileSystem.removeTree(aside)
                throw error
            }
            // First the old catalog is renamed, then its log, then the new catalog. A catalog without its log would
            // lack the last commits, and gc would remove their blobs; a log beside another catalog would be replayed
            // into it. Between the steps there is no catalog, and opening the store fails.
            let stamp = StoreClock.now
            for suffix in ["", "-wal", "-shm"] where FileSystem.exists(path + "/store.db" + suffix) {
                summary.old = "\(path)/store.db.\(stamp)"
                try FileSystem.rename(path + "/store.db" + suffix, to: "\(path)/store.db.\(stamp)\(suffix)")
                try FileSystem.syncDirectory(path)
            }
            try FileSystem.rename(aside + "/store.db", to: path + "/store.db")
            try FileSystem.syncDirectory(path)
            try FileSystem.removeTree(aside)
            return summary
        }
    }

    private static func fill(
        _ catalog: Catalog, _ blobs: BlobDirectory, _ work: Work, _ summary: inout RebuildSummary
    ) throws {
        work.expect(BlobDirectory.fanOut.count)
        var records: [String: (record: ModelRecord, digest: ContentDigest)] = [:]
        var shards = 0
        for directory in BlobDirectory.fanOut {
            try work.check()
            work.advance(1)
            for name in try blobs.contents(directory).blobs {
                if name.kind == .shard { shards += 1 }
                guard name.kind == .record else { continue }
                let path = blobs.path(name.digest, .record)
                do {
                    let record = try ModelRecord(decoding: try checked(name, blobs), path: path)
                    if records[record.model]?.record.sequence ?? -1 < record.sequence {
                        records[record.model] = (record, name.digest)
                    }
                } catch  where error is StorageError || error is FileError {
                    summary.lost.append(KeptRevision(revision: path, reason: "\(error)"))
                }
            }
        }
        for (record, digest) in records.values.sorted(by: { $0.record.model < $1.record.model }) {
            try work.check()
            try catalog.write { db in try fill(record, digest, blobs, &summary, db) }
        }
        summary.unreferencedBlobs = shards - (summary.shards - summary.missing - summary.evicted)
    }

    private static func fill(
        _ record: ModelRecord, _ digest: ContentDigest, _ blobs: BlobDirectory, _ summary: inout RebuildSummary,
        _ db: Database
    ) throws {
        let model = try ModelTable.restore(record, digest: digest, db)
        summary.models += 1
        for revision in record.revisions {
            let name = "\(record.model)@\(revision.version.map { "v\($0)" } ?? revision.digest.short)"
            do {
                let path = blobs.path(revision.digest, .manifest)
                let bytes = try checked(.init(digest: revision.digest, kind: .manifest), blobs)
                let manifest = try Manifest(decoding: bytes, path: path)
                try fill(revision, manifest, of: model, blobs, &summary, db)
            } catch  where error is StorageError || error is FileError {
                summary.lost.append(KeptRevision(revision: name, reason: "\(error)"))
            }
        }
        for (ref, digest) in record.refs {
            guard let revision = try RevisionTable.find(digest, of: model, db) else { continue }
            try RefTable.set(ref, of: model, to: revision.id, db)
            summary.refs += 1
        }
        try OriginTable.set(record.origins, of: model, db)
        for prompt in record.prompts ?? [] {
            try PromptTable.insert(prompt.name, TokenList(prompt.tokens), of: model, createdAt: prompt.createdAt, db)
            summary.prompts += 1
        }
    }

    private static func fill(
        _ revision: ModelRecord.Revision, _ manifest: Manifest, of model: Int64, _ blobs: BlobDirectory,
        _ summary: inout RebuildSummary, _ db: Database
    ) throws {
        let id = try RevisionTable.insert(
            manifest, digest: revision.digest, model: model, version: revision.version, source: revision.source,
            createdAt: revision.createdAt, db)
        if revision.hasOrigin == true { try RevisionTable.setHasOrigin(id, db) }
        for file in manifest.files {
            var ids: [Int64] = []
            for facts in file.content.shards {
                if let row = try ShardTable.find(facts.digest, db) {
                    try FileContent.check(facts, is: row)
                    ids.append(row.id)
                    continue
                }
                ids.append(try ShardTable.markPresent(facts, db))
                summary.shards += 1
                if try FileSystem.status(blobs.path(facts.digest))?.bytes != facts.bytes {
                    let isEvicted = revision.hasOrigin == true
                    try ShardTable.mark(facts.digest, as: isEvicted ? .evicted : .missing, db)
                    summary.evicted += isEvicted ? 1 : 0
                    summary.missing += isEvicted ? 0 : 1
                }
            }
            try RevisionTable.link(id, file.path, try file.content.save(ids, db), db)
            try ShardTable.adopt(Set(ids), db)
        }
        // The rows of the move are lost: the next import of the source adds to the files that were stored.
        if revision.version == nil { _ = try MoveTable.add(source: revision.source, revision: id, db) }
        if let note = revision.pin { try PinTable.pin(id, note: note, db) }
        summary.revisions += 1
        summary.tensors += manifest.files.reduce(0) { $0 + $1.content.tensors.count }
    }

    /// The bytes of a small blob, checked against the digest in its name.
    private static func checked(_ name: BlobDirectory.Name, _ blobs: BlobDirectory) throws -> [UInt8] {
        let path = blobs.path(name.digest, name.kind)
        guard FileSystem.exists(path) else { throw StorageError.missing(path: path, digest: name.digest) }
        let bytes = try FileSystem.read(path)
        let found = bytes.withUnsafeBytes { ContentDigest(of: $0) }
        guard found == name.digest else {
            throw StorageError.damaged(
                path: path, digest: name.digest, expected: "SHA-256 \(name.digest.short)",
                found: "SHA-256 \(found.short)")
        }
        return bytes
    }
}
