import Dispatch
import Files
import GRDB
import Storage
import Synchronization

/// Takes finished shards into the store, many to a transaction: installed as blobs, made rows, and claimed for this
/// process, so that no collector takes them before a revision references them.
final class ShardCommitter: Sendable {
    /// A shard that is staged and synced, or (without a staged file) that the store should hold already.
    struct Finished: Sendable {
        var file: FileIngest
        var ordinal: Int
        var outcome: ShardStream.Outcome
    }

    private struct Batch {
        var shards: [Finished] = []
        /// Files whose shards are all in this batch or before it.
        var files: [FileIngest] = []
        var bytes = 0
    }

    // Large enough that the fsyncs of a commit don't count, small enough that a kill costs a second of work.
    private static let batchShards = 256
    private static let batchBytes = 512 << 20

    private let catalog: Catalog
    private let blobs: BlobDirectory
    private let lease: String
    /// Sees to it that so many bytes more fit the quota.
    private let makeRoom: @Sendable (_ bytes: Int) throws -> Void
    private let failed: @Sendable (any Error) -> Void
    private let queue = DispatchQueue(label: "weightstore.commit")
    private let pending = Mutex(Batch())

    init(
        catalog: Catalog, blobs: BlobDirectory, lease: String, makeRoom: @escaping @Sendable (_ bytes: Int) throws -> Void,
        failed: @escaping @Sendable (any Error) -> Void
    ) {
        self.makeRoom = makeRoom
        self.catalog = catalog
        self.blobs = blobs
        self.lease = lease
        self.failed = failed
    }

    func add(_ finished: Finished) {
        let isFull = pending.withLock { batch in
            batch.shards.append(finished)
            batch.bytes += finished.outcome.facts.bytes
            return batch.shards.count >= Self.batchShards || batch.bytes >= Self.batchBytes
        }
        if isFull { queue.async { self.commit() } }
    }

    /// To be called when all shards of the file have been added.
    func add(complete file: FileIngest) {
        pending.withLock { $0.files.append(file) }
    }

    /// Waits until all that was added is safe.
    func flush() {
        queue.sync { commit() }
    }

    private func commit() {
        let batch = pending.withLock { batch in
            defer { batch = Batch() }
            return batch
        }
        if batch.shards.isEmpty && batch.files.isEmpty { return }
        do {
            let new = batch.shards.filter { $0.outcome.staged != nil }
            if !new.isEmpty { try makeRoom(new.reduce(0) { $0 + $1.outcome.facts.bytes }) }
            let safe = try catalog.write { db in try install(batch, db) }
            for (finished, isSafe) in zip(batch.shards, safe) {
                finished.file.settle(finished.ordinal, finished.outcome, isSafe: isSafe)
            }
        } catch {
            failed(error)
        }
    }

    /// - Returns: for each shard whether it is in the store now. Not so: it was taken for one that the store holds,
    ///   and that was a mistake, or it was removed in the meantime.
    private func install(_ batch: Batch, _ db: Database) throws -> [Bool] {
        var staged: [ContentDigest: (path: String, name: BlobDirectory.Name)] = [:]
        var safe: [Bool] = []
        var sources: [ObjectIdentifier: Int64] = [:]

        func source(of file: FileIngest) throws -> Int64? {
            guard let status = file.memo else { return nil }
            if let id = sources[ObjectIdentifier(file)] { return id }
            let id = try SourceTable.remember(status, db)
            sources[ObjectIdentifier(file)] = id
            return id
        }

        for finished in batch.shards {
            let facts = finished.outcome.facts
            let known = try ShardTable.find(facts.digest, db)
            let isThere = try staged[facts.digest] != nil
                || known?.state == .present && FileSystem.status(blobs.path(facts.digest))?.bytes == facts.bytes
            let shard: Int64
            if isThere, let known {
                shard = known.id
            } else {
                guard let file = finished.outcome.staged else {
                    safe.append(false)
                    continue
                }
                staged[facts.digest] = (file.path, BlobDirectory.Name(digest: facts.digest, kind: .shard))
                shard = try ShardTable.markPresent(facts, db)
            }
            try ClaimTable.claim(shard, lease: lease, db)
            if let source = try source(of: finished.file) {
                try SourceTable.remember(shard, ordinal: finished.ordinal, of: source, db)
            }
            safe.append(true)
        }
        for file in batch.files {
            if let source = try source(of: file) { try SourceTable.setDigest(file.digest, of: source, db) }
        }
        try blobs.install(Array(staged.values))
        return safe
    }
}
