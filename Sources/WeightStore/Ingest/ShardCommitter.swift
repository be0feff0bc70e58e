import Dispatch
import Files
import GRDB
import Storage
import Support
import Synchronization

/// A file whose shards are being committed.
protocol CommittedFile: AnyObject, Sendable {
    /// References or claims the shards, in the transaction that makes them present, so that a garbage collection does
    /// not remove them before a revision holds them.
    ///
    /// - Parameters:
    ///   - shards: row ids, by ordinal in the file's plan.
    ///   - isComplete: whether these are the last shards of the file.
    func reference(_ shards: [(ordinal: Int, shard: Int64)], isComplete: Bool, lease: String, _ db: Database) throws

    /// Called after the commit, for each shard.
    ///
    /// - Parameters:
    ///   - wasWritten: whether its bytes were written, and not only hashed.
    ///   - isSafe: whether the store holds the shard now. If not, it was mistaken for a stored one, or the stored one
    ///     was removed meanwhile.
    func committed(_ ordinal: Int, _ facts: ShardFacts, wasWritten: Bool, isSafe: Bool)
}

/// Commits finished shards to the store, many per transaction: each is installed as a blob, gets a row, and is
/// referenced by its file. Import and pull use it. While a commit runs, the next batch collects.
///
/// A file in `partial/` becomes a blob by a hard link, and its own name is removed after the commit: until then, other
/// fetches of the shard find it locked.
final class ShardCommitter: Sendable {
    /// A shard that is staged, and synced or sealed; without a staged file, a shard that the store should hold already.
    struct Finished: Sendable {
        var file: any CommittedFile
        var ordinal: Int
        var facts: ShardFacts
        var staged: StagedFile?
    }

    /// The size at which a commit begins without a `flush`: this many shards, or this many bytes.
    struct Batch: Sendable {
        var shards: Int
        var bytes: Int

        /// Large enough that most of the 256 directories, which a commit syncs, receive several shards; small enough that
        /// a kill loses a second or two of work.
        ///
        /// - Parameter shards: at most 2048. Each has an open file.
        static func large(_ shards: Int) -> Batch { Batch(shards: shards, bytes: 512 << 20) }
        /// Commits each shard: for sources that are slower than commits.
        static let each = Batch(shards: 1, bytes: 0)
    }

    private struct Pending {
        var shards: [Finished] = []
        /// Files whose shards are all in this batch or before it.
        var complete: [any CommittedFile] = []
        var bytes = 0
    }

    private let catalog: Catalog
    private let blobs: BlobDirectory
    private let lease: String
    private let staging: String
    private let batch: Batch
    private let work: Work
    private let makeRoom: @Sendable (_ bytes: Int) throws -> Void
    private let released: @Sendable (_ shards: Int) -> Void
    private let failed: @Sendable (any Error) -> Void
    private let queue = DispatchQueue(label: "weightstore.commit")
    private let pending = Mutex(Pending())

    /// - Parameters:
    ///   - staging: the folder of this process's lease in `staging/`.
    ///   - work: cancelling it ends the wait for the write lock.
    ///   - makeRoom: evicts until `bytes` more fit the quota.
    ///   - released: receives the number of shards whose files are no longer open, after each commit.
    ///   - failed: receives the error of a failed commit, whose shards are not in the store.
    init(
        catalog: Catalog, blobs: BlobDirectory, lease: String, staging: String, batch: Batch, work: Work,
        makeRoom: @escaping @Sendable (_ bytes: Int) throws -> Void = { _ in },
        released: @escaping @Sendable (_ shards: Int) -> Void = { _ in },
        failed: @escaping @Sendable (any Error) -> Void
    ) {
        self.catalog = catalog
        self.blobs = blobs
        self.lease = lease
        self.staging = staging
        self.batch = batch
        self.work = work
        self.makeRoom = makeRoom
        self.released = released
        self.failed = failed
    }

    func add(_ finished: Finished) {
        let isFull = pending.withLock { pending in
            pending.shards.append(finished)
            pending.bytes += finished.facts.bytes
            return pending.shards.count >= batch.shards || pending.bytes >= batch.bytes
        }
        if isFull { queue.async { self.commit() } }
    }

    /// Marks a file as complete: call it when all of its shards have been added.
    func add(complete file: any CommittedFile) {
        pending.withLock { $0.complete.append(file) }
    }

    /// Waits until all added shards are durable.
    func flush() {
        queue.sync { commit() }
    }

    private func commit() {
        let count = commitPending()
        if count > 0 { released(count) }
    }

    /// - Returns: the number of shards of the batch, committed or not.
    private func commitPending() -> Int {
        var batch = pending.withLock { pending in
            defer { pending = Pending() }
            return pending
        }
        let count = batch.shards.count
        if count == 0 && batch.complete.isEmpty { return 0 }
        do {
            try sync(batch.shards.filter { $0.staged != nil })
            // In the order of the index, and of the directories of the blobs.
            batch.shards.sort { $0.facts.digest < $1.facts.digest }
            let safe = try catalog.write(work: work) { [batch] db in try install(batch, db) }
            let unremoved = FirstFailure()
            let results = zip(batch.shards, safe).map { finished, isSafe in
                // Also removes files of shards that the store held already, or that were added twice.
                if let staged = finished.staged, staged.isKept {
                    do { try FileSystem.remove(staged.path) } catch { unremoved.record(error) }
                }
                var closed = finished
                closed.staged = nil
                return (shard: closed, wasWritten: finished.staged != nil, isSafe: isSafe)
            }
            // Closes the files, before others are opened in their stead.
            batch.shards = []
            for (shard, wasWritten, isSafe) in results {
                shard.file.committed(shard.ordinal, shard.facts, wasWritten: wasWritten, isSafe: isSafe)
            }
            if let error = unremoved.first { throw error }
        } catch {
            failed(error)
        }
        return count
    }

    /// Makes room for new shards, and makes their files durable.
    private func sync(_ new: [Finished]) throws {
        if !new.isEmpty { try makeRoom(new.saturatingSum(\.facts.bytes)) }
        try StagedFile.sync(new.compactMap(\.staged))
    }

    /// - Returns: for each shard, whether it is in the store now.
    private func install(_ batch: Pending, _ db: Database) throws -> [Bool] {
        var staged: [ContentDigest: (file: StagedFile, name: BlobDirectory.Name)] = [:]
        var safe: [Bool] = []
        var files: [ObjectIdentifier: (file: any CommittedFile, shards: [(ordinal: Int, shard: Int64)])] = [:]
        for file in batch.complete { files[ObjectIdentifier(file)] = (file, []) }
        for finished in batch.shards {
            guard let shard = try present(finished, &staged, db) else {
                safe.append(false)
                continue
            }
            let file = ObjectIdentifier(finished.file)
            files[file, default: (finished.file, [])].shards.append((finished.ordinal, shard))
            safe.append(true)
        }
        let complete = Set(batch.complete.map { ObjectIdentifier($0) })
        for (id, entry) in files {
            try entry.file.reference(entry.shards, isComplete: complete.contains(id), lease: lease, db)
        }
        try blobs.install(staged.values.sorted { $0.name.digest < $1.name.digest })
        return safe
    }

    /// Makes the shard's row, unless the store holds the shard.
    ///
    /// - Parameter staged: collects the files to install.
    /// - Returns: the row id; nil if the store does not hold the shard and it was not written.
    private func present(
        _ finished: Finished, _ staged: inout [ContentDigest: (file: StagedFile, name: BlobDirectory.Name)],
        _ db: Database
    ) throws -> Int64? {
        let facts = finished.facts
        if let file = finished.staged, let id = try ShardTable.insert(facts, db) {
            try stage(file, facts.digest, &staged)
            return id
        }
        if let known = try ShardTable.find(facts.digest, db) {
            if staged[facts.digest] != nil { return known.id }
            let blob = try FileSystem.status(blobs.path(facts.digest))
            if known.state == .present, let blob, blob.isFile, blob.bytes == facts.bytes {
                // The blob of a KV block was not sampled, because its head is not in the catalog: what was written
                // replaces it.
                if known.kind == .kv, let file = finished.staged {
                    try stage(file, facts.digest, &staged)
                    try ShardTable.setHead(facts.head, of: known.id, db)
                }
                return known.id
            }
        }
        guard let file = finished.staged else { return nil }
        try stage(file, facts.digest, &staged)
        return try ShardTable.markPresent(facts, db)
    }

    /// Adds a file to those to install.
    private func stage(
        _ file: StagedFile, _ digest: ContentDigest,
        _ staged: inout [ContentDigest: (file: StagedFile, name: BlobDirectory.Name)]
    ) throws {
        if file.isKept { try link(file) }
        staged[digest] = (file, .init(digest: digest, kind: .shard))
    }

    private static let linkNumbers = Atomic<Int>(0)

    private func link(_ file: StagedFile) throws {
        try file.link(at: "\(staging)/fetched-\(Self.linkNumbers.add(1, ordering: .relaxed).newValue)")
    }
}
