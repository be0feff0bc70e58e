import GRDB
import ModelFormats
import Storage
import Synchronization

/// A file, and those of its shards that a fetch is to bring.
final class FetchFile: Sendable {
    let remote: RemoteFile
    let layout: FileLayout
    let plan: ShardPlan
    /// The file's row; nil for one whose digest was not published, which gets its row when it is whole.
    let id: Int64?
    let wanted: Set<Int>
    /// The bytes at its front that have come with the header.
    let prefix: [UInt8]
    /// Nil if not all of it passes here.
    let hash: FileHash?
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
        hash = wanted.count == plan.shards.count ? FileHash(bytes: remote.bytes) : nil
    }

    /// Bytes that are to travel.
    var bytes: Int { plan.extents.reduce(0) { wanted.contains($1.shard) ? $0 + $1.length : $0 } }

    /// What names its shards while they have no digest.
    var key: String {
        remote.digest?.hex ?? remote.gitObject
            ?? "\(remote.commit)-\(remote.path.utf8.reduce(0) { $0 &* 31 &+ UInt64($1) })"
    }

    func has(_ ordinal: Int) -> Bool { shards.withLock { $0[ordinal] != nil } }

    /// The content, if all shards came here.
    func content(_ digest: ContentDigest) -> FileContent? {
        let facts = shards.withLock { $0 }
        let all = plan.shards.indices.compactMap { facts[$0] }
        guard all.count == plan.shards.count else { return nil }
        return FileContent(
            digest: digest, bytes: layout.bytes, format: layout.format, shards: all, extents: plan.extents,
            tensors: layout.tensors
        ).canonical()
    }
}

extension FetchFile: CommittedFile {
    /// The shards get their extents, and belong to the file. One that has no row yet gets it when all of it is here,
    /// and its shards are claimed until then.
    func reference(_ shards: [(ordinal: Int, shard: Int64)], isComplete: Bool, lease: String, _ db: Database) throws {
        for (ordinal, shard) in shards {
            if let id {
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
