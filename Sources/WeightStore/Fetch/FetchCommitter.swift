import Dispatch
import Files
import GRDB
import Glibc
import Storage
import Synchronization

/// Takes shards that have come into the store: blob, row and extents, in one transaction. While one commit is under way,
/// the next ones gather.
///
/// A partial file becomes a blob by a second name, and loses its own after the commit: until then, whoever else wants the
/// shard finds it locked.
final class FetchCommitter: Sendable {
    struct Arrived: Sendable {
        var file: FetchFile
        var ordinal: Int
        var facts: ShardFacts
        var staged: StagedFile
    }

    private let catalog: Catalog
    private let blobs: BlobDirectory
    private let lease: String
    private let staging: String
    private let failed: @Sendable (any Error) -> Void
    private let queue = DispatchQueue(label: "weightstore.fetch.commit")
    private let pending = Mutex<[Arrived]>([])

    /// - Parameter staging: the folder of this process's lease in `staging/`.
    init(
        catalog: Catalog, blobs: BlobDirectory, lease: String, staging: String,
        failed: @escaping @Sendable (any Error) -> Void
    ) {
        self.staging = staging
        self.catalog = catalog
        self.blobs = blobs
        self.lease = lease
        self.failed = failed
    }

    func add(_ arrived: Arrived) {
        pending.withLock { $0.append(arrived) }
        queue.async { self.commit() }
    }

    /// Waits until all that was added is safe.
    func flush() { queue.sync { commit() } }

    private func commit() {
        let batch = pending.withLock { pending in
            defer { pending = [] }
            return pending
        }
        if batch.isEmpty { return }
        do {
            try catalog.write { db in try install(batch, db) }
            for arrived in batch {
                // What the store held already, or what came twice.
                try FileSystem.remove(arrived.staged.path)
                arrived.file.arrived(arrived.ordinal, arrived.facts)
            }
        } catch {
            failed(error)
        }
    }

    private func install(_ batch: [Arrived], _ db: Database) throws {
        var staged: [ContentDigest: (path: String, name: BlobDirectory.Name)] = [:]
        for arrived in batch {
            let facts = arrived.facts
            let known = try ShardTable.find(facts.digest, db)
            let isThere = try staged[facts.digest] != nil
                || known?.state == .present && FileSystem.status(blobs.path(facts.digest))?.bytes == facts.bytes
            if !isThere {
                staged[facts.digest] = (try link(arrived.staged), .init(digest: facts.digest, kind: .shard))
            }
            let id = isThere ? known?.id : nil
            let shard = try id ?? ShardTable.markPresent(facts, db)
            if let file = arrived.file.id {
                try ExtentTable.insert(arrived: arrived.ordinal, of: arrived.file.plan, file: file, shard: shard, db)
                try ShardTable.adopt([shard], db)
            } else {
                // Its file gets a row when all of it is here.
                try ClaimTable.claim(shard, lease: lease, db)
            }
        }
        try blobs.install(Array(staged.values))
    }

    private static let linkNumbers = Atomic<Int>(0)

    private func link(_ file: StagedFile) throws -> String {
        let path = "\(staging)/fetched-\(Self.linkNumbers.add(1, ordering: .relaxed).newValue)"
        try retrying("link", path) { Glibc.link(file.path, path) }
        return path
    }
}
