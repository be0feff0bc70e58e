import Files
import GRDB
import Storage
import Support
import Synchronization

/// What the parts of one import share: where the bytes go, the memory they pass through, and the first thing that
/// went wrong.
final class ImportRun: Sendable {
    let catalog: Catalog
    let blobs: BlobDirectory
    let pool = BufferPool(count: 16)
    let committer: ShardCommitter
    let work: Work
    /// Files that are read at the same time. Each keeps two cores busy: one hashes the file, one its shards.
    let lanes: Int
    private let lease: String
    private let staging: String
    private let failure: FirstFailure
    /// For all runs of the process: what a cancelled one leaves open for a moment keeps its name.
    private static let staged = Atomic<Int>(0)

    /// The memory in which each lane gathers small tensors, in bytes.
    var gatherBytes: Int { (64 << 20) / lanes }

    /// - Parameter staging: the folder of this process's lease in `staging/`.
    init(
        catalog: Catalog, blobs: BlobDirectory, staging: String, lease: String, cores: Int, work: Work,
        makeRoom: @escaping @Sendable (_ bytes: Int) throws -> Void
    ) {
        self.lease = lease
        let failure = FirstFailure()
        self.catalog = catalog
        self.blobs = blobs
        self.staging = staging
        self.failure = failure
        self.work = work
        lanes = min(max(cores / 2, 1), 4)
        committer = ShardCommitter(
            catalog: catalog, blobs: blobs, lease: lease, staging: staging, batch: .large, makeRoom: makeRoom
        ) { failure.record($0) }
    }

    private let writtenBytes = Atomic<Int>(0)
    private let skippedBytes = Atomic<Int>(0)

    /// Bytes of shards that were written and are durable.
    var written: Int { writtenBytes.load(ordering: .relaxed) }
    /// Bytes of files that were not read, because the store is known to hold them.
    var skipped: Int { skippedBytes.load(ordering: .relaxed) }

    func wrote(_ bytes: Int) { writtenBytes.add(bytes, ordering: .relaxed) }

    func skip(_ bytes: Int) {
        skippedBytes.add(bytes, ordering: .relaxed)
        work.skip(bytes)
    }

    func fail(_ error: any Error) { failure.record(error) }

    /// Throws the first failure of any part, or that the import was cancelled.
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

    /// Whether the blob is there in its full size.
    func isPresent(_ shard: ShardFacts) -> Bool {
        // An error here means "not known to be there": the shard is read and written again.
        (try? FileSystem.status(blobs.path(shard.digest)))??.bytes == shard.bytes
    }

    /// The content of a file by its digest, if the store holds all of it.
    func content(of digest: ContentDigest) throws -> FileContent? {
        guard let content = try catalog.read({ db in try FileContent.find(digest, db) }) else { return nil }
        guard content.shards.allSatisfy(isPresent), try claim(content.shards) else { return nil }
        return content
    }

    /// Claims shards that need not be read, so that nothing evicts or collects them before a revision has them.
    ///
    /// - Returns: false if one of them is not there any more.
    func claim(_ shards: [ShardFacts]) throws -> Bool {
        try catalog.write(durable: false) { db in
            try ClaimTable.claim(present: shards.map(\.digest), lease: lease, db)
        }
    }
}
