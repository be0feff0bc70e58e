import Dispatch
import Files
import GRDB
import ModelFormats
import Storage
import Support
import Synchronization

/// The state that the parts of one import share: catalog, blobs, buffers, progress, and the first failure.
final class ImportRun: Sendable {
    let catalog: Catalog
    /// Checks the blobs that are not written again.
    let sampler: BlobSampler
    let pool = BufferPool(count: 16)
    let committer: ShardCommitter
    /// The treatment of files that break a rule of their format.
    let rules: ReadingRules
    let work: Work
    /// The number of files that are read concurrently. Each uses two cores: one hashes the file, one its shards.
    let lanes: Int
    /// A unit for each shard that is begun and not committed, and whose file is open.
    private let openShards = DispatchSemaphore(value: 0)
    /// The smallest limit of open files: 48 shards, the sources and blobs that four lanes read, directories that a commit
    /// syncs, the catalog and locks.
    static let leastOpenFiles = 128
    /// More than a batch of the committer, so that a full batch is committed while others wait for it; fewer than the
    /// limit of open files.
    private static let mostOpenShards = min(3072, max(OpenFiles.limit, leastOpenFiles) / 8 * 3)
    /// The most shards of several extents that all lanes put together at the same time.
    private static let mostJoinedShards = min(96, mostOpenShards / 4)
    private let lease: String
    private let staging: String
    private let failure: FirstFailure
    /// Numbers staged files. One counter for all runs of the process: a cancelled run may still have files open.
    private static let staged = Atomic<Int>(0)

    /// The memory that each lane may use for shards whose tensors are in several places, in bytes.
    var gatherBytes: Int { (64 << 20) / lanes }

    /// The limits of each lane. The open shards of all lanes are fewer than those that are begun beyond a full batch of
    /// the committer: otherwise lanes would wait for a batch that never fills.
    var passLimits: ShardPlan.PassLimits {
        ShardPlan.PassLimits(
            frontBytes: ShardFacts.headBytes, bufferBytes: gatherBytes, openShards: Self.mostJoinedShards / lanes)
    }

    /// - Parameter staging: the folder of this process's lease in `staging/`.
    init(
        catalog: Catalog, blobs: BlobDirectory, sampler: BlobSampler, staging: String, lease: String, cores: Int,
        rules: ReadingRules, work: Work, makeRoom: @escaping @Sendable (_ bytes: Int) throws -> Void
    ) {
        self.lease = lease
        let failure = FirstFailure()
        self.catalog = catalog
        self.sampler = sampler
        self.staging = staging
        self.failure = failure
        self.rules = rules
        self.work = work
        lanes = min(max(cores / 2, 1), 4)
        committer = ShardCommitter(
            catalog: catalog, blobs: blobs, lease: lease, staging: staging,
            batch: .large(Self.mostOpenShards / 3 * 2), work: work, makeRoom: makeRoom
        ) { failure.record($0) }
        // A semaphore may not be released with fewer units than it was made with.
        for _ in 0..<Self.mostOpenShards { openShards.signal() }
    }

    /// Waits until another shard may be begun.
    ///
    /// - Throws: as ``check()``.
    func beginShard() throws {
        while openShards.wait(timeout: .now() + .milliseconds(100)) == .timedOut { try check() }
    }

    /// Ends a shard that was begun: it is committed, or has failed.
    func endShard() { openShards.signal() }

    private let writtenBytes = Atomic<Int>(0)
    private let skippedBytes = Atomic<Int>(0)
    private let againBytes = Atomic<Int>(0)

    /// Bytes of shards that were written and are durable.
    var written: Int { writtenBytes.load(ordering: .relaxed) }
    /// Bytes of files that were not read because the store holds them.
    var skipped: Int { skippedBytes.load(ordering: .relaxed) }

    /// Bytes that were written although the store holds them, cut by an older rule.
    var again: Int { againBytes.load(ordering: .relaxed) }

    func storedAgain(_ bytes: Int) { againBytes.add(bytes, ordering: .relaxed) }

    /// Notes a shard that was written and is durable.
    func wrote(_ shard: ShardFacts) {
        writtenBytes.add(shard.bytes, ordering: .relaxed)
        newSizes.withLock { $0.add(shard) }
    }

    private let newSizes = Mutex(NewSizes())

    func skip(_ bytes: Int) {
        skippedBytes.add(bytes, ordering: .relaxed)
        work.skip(bytes)
    }

    func fail(_ error: any Error) { failure.record(error) }

    /// Throws the first failure of any part, or `CancellationError`.
    func check() throws {
        try work.check()
        if let error = failure.first { throw error }
    }

    func stage() throws -> StagedFile {
        try StagedFile("\(staging)/\(Self.staged.add(1, ordering: .relaxed).newValue)")
    }

    func mayHold(bytes: Int, head: Int64) throws -> Bool {
        try catalog.read { db in try ShardTable.hasPresent(bytes: bytes, head: head, db) }
    }

    /// Whether the store probably holds all bytes of a file with tensors as one shard.
    func isProbablyOneShard(_ source: FileSource, _ layout: FileLayout) throws -> Bool {
        let bytes = layout.bytes
        guard layout.format != .other, bytes > 0, try catalog.read({ try ShardTable.hasPresent(bytes: bytes, $0) })
        else { return false }
        let front = Buffer(bytes: min(bytes, ShardFacts.headBytes))
        try source.read(at: 0, into: front.writableBytes(front.capacity))
        return try mayHold(bytes: bytes, head: ContentDigest(of: front.bytes(front.capacity)).head)
    }

    /// As `mayHold`, but only if the blob of such a shard is intact. Those that are damaged are moved to quarantine.
    ///
    /// The catalog is not read for a size that no shard had before: a model may have tens of thousands of shards of a few
    /// sizes. A shard of that size that another process adds meanwhile is found by the committer.
    func holds(bytes: Int, head: Int64) throws -> Bool {
        if newSizes.withLock({ $0.excludes(bytes: bytes, head: head) }) { return false }
        let (known, isNewSize) = try catalog.read { db in
            let known = try ShardTable.present(bytes: bytes, head: head, db)
            return (known, try known.isEmpty && !ShardTable.hasPresent(bytes: bytes, db))
        }
        if isNewSize { newSizes.withLock { $0.add(bytes) } }
        // All of them are checked: which of them the incoming shard is shows only at its end.
        return try !known.filter(sampler.isIntact).isEmpty
    }

    /// As `holds`, for small shards, all bytes of which are their heads: those that the store holds.
    func held(_ shards: [ShardFacts]) throws -> Set<ContentDigest> {
        let candidates = newSizes.withLock { sizes in
            shards.filter { !sizes.excludes(bytes: $0.bytes, head: $0.head) }
        }
        if candidates.isEmpty { return [] }
        let (known, absent) = try catalog.read { db in
            // The head of a KV block is 0 until a file has the same bytes, too.
            let known = try ShardTable.present(candidates.map(\.digest), db).filter { $0.head == $0.digest.head }
            let others = Set(candidates.map(\.bytes)).subtracting(known.map(\.bytes))
            return (known, try others.filter { try !ShardTable.hasPresent(bytes: $0, db) })
        }
        newSizes.withLock { sizes in for bytes in absent { sizes.add(bytes) } }
        return try sampler.intact(known)
    }

    /// The first content of these that is hashed, and of which the store holds all.
    private func present(_ entries: (Database) throws -> [FileTable.Entry]) throws -> FileContent? {
        // A file that two rules have cut has two rows; the shards of one may be evicted.
        let known = try catalog.read { db in
            try entries(db).filter { !$0.isPending && $0.isHashed }.compactMap { try FileContent.find($0.id, db) }
        }
        for content in known {
            if try sampler.areIntact(content.shards), try claim(content.shards) { return content }
        }
        return nil
    }

    /// The content of a file as it was read now, if the store holds all of it, and has hashed it: an older version may
    /// have stored the same bytes without their tensors.
    func content(of digest: ContentDigest, as layout: FileLayout) throws -> FileContent? {
        let known = try present { db in try FileTable.all(digest, for: layout.format, db) }
        return try known ?? present { db in try FileTable.all(digest, db) }?.described(by: layout)
    }

    /// Claims shards that need not be read, so that they are neither evicted nor collected before a revision holds
    /// them.
    ///
    /// - Returns: false if one of them is no longer present.
    func claim(_ shards: [ShardFacts]) throws -> Bool {
        try catalog.write(durable: false, work: work) { db in
            try ClaimTable.claim(present: shards.map(\.digest), lease: lease, db)
        }
    }
}
