import GRDB
import ModelFormats
import Storage
import Synchronization

/// A file, and the shards of it that are to be fetched.
final class FetchFile: Sendable {
    let remote: RemoteFile
    let layout: FileLayout
    let plan: ShardPlan
    /// The file's row id; nil for a file without a published digest, which gets its row when it is complete.
    let id: Int64?
    let wanted: Set<Int>
    /// The bytes at the front that were fetched with the header.
    let prefix: [UInt8]
    /// nil if this fetch does not transfer the whole file.
    let hash: OrderedFileHasher?
    private let shards = Mutex<[Int: ShardFacts]>([:])

    init(
        _ remote: RemoteFile, _ layout: FileLayout, _ plan: ShardPlan, id: Int64?, wanted: Set<Int>,
        prefix: [UInt8] = []
    ) {
        self.remote = remote
        self.layout = layout
        self.plan = plan
        self.id = id
        self.wanted = wanted
        self.prefix = prefix
        hash = wanted.count == plan.shards.count ? OrderedFileHasher(bytes: remote.bytes) : nil
    }

    /// Bytes to transfer.
    var bytes: Int { plan.extents.reduce(0) { wanted.contains($1.shard) ? $0 + $1.length : $0 } }

    /// The name of the file in `PartialShards`, where its shards have no digest yet.
    var key: String {
        let name =
            remote.digest?.hex ?? remote.gitObject
            ?? "\(remote.commit)-\(remote.path.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })"
        // The shards of another rule begin at the same offsets.
        return plan.rule == ShardPlan.firstRule ? name : "\(name)-rule\(plan.rule)"
    }

    func has(_ ordinal: Int) -> Bool { shards.withLock { $0[ordinal] != nil } }

    /// The content; nil if a shard is missing.
    func content(_ digest: ContentDigest) -> FileContent? {
        let facts = shards.withLock { $0 }
        let all = plan.shards.indices.compactMap { facts[$0] }
        guard all.count == plan.shards.count else { return nil }
        return FileContent(
            digest: digest, bytes: layout.bytes, format: layout.format, shards: all, extents: plan.extents,
            tensors: layout.tensors, rule: plan.rule
        ).canonical()
    }
}

extension FetchFile: CommittedFile {
    /// Adds the extents of the shards. If the file has no row yet, its shards are claimed instead, until it is complete
    /// and gets one.
    func reference(_ shards: [(ordinal: Int, shard: Int64)], isComplete: Bool, lease: String, _ db: Database) throws {
        // An import may have completed the file meanwhile, cut by another rule.
        let pending = try id.flatMap { try FileTable.isPending($0, db) ? $0 : nil }
        for (ordinal, shard) in shards {
            if let id = pending {
                try ExtentTable.insert(arrived: ordinal, of: plan, file: id, shard: shard, db)
                try ShardTable.adopt([shard], db)
            } else {
                try ClaimTable.claim(shard, lease: lease, db)
            }
        }
    }

    func committed(_ ordinal: Int, _ facts: ShardFacts, wasWritten: Bool, isSafe: Bool) {
        shards.withLock { $0[ordinal] = facts }
    }
}
