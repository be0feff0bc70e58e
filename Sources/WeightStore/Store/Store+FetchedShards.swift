import Files
import GRDB
import Storage
import Support

extension Store {
    /// Makes fetched shards durable, as a group: all files are synced, then renamed, then each directory is synced once,
    /// then one transaction is committed. The caller holds the locks of the shards.
    ///
    /// - Parameter onUse: whether something reads the shards, so that they count as misses.
    /// - Returns: the shards that the store holds now. The row of another one was removed meanwhile, and a blob without a
    ///   row would be garbage: its file is removed.
    func commit(_ shards: [FetchedShard], onUse: Bool, _ work: Work) throws -> Set<ContentDigest> {
        if shards.isEmpty { return [] }
        try StagedFile.sync(shards.compactMap(\.staged))
        let kept = try catalog.write(work: work) { db in
            let known = try shards.compactMap { shard in
                try ShardTable.find(shard.digest, db).map { (shard: shard, row: $0) }
            }
            try blobs.install(
                known.compactMap { known in
                    known.shard.staged.map { ($0, .init(digest: known.shard.digest, kind: .shard)) }
                })
            for (shard, row) in known {
                try ShardTable.markFetched(shard.digest, seconds: shard.seconds, db)
                if row.state == .missing || row.state == .quarantined {
                    let revisions = try Self.revisions(holding: row.id, db)
                    try EventTable.append(
                        .repair(of: shard.digest, "fetched again from \(shard.url)", revisions), db)
                }
            }
            return Set(known.map(\.shard.digest))
        }
        for shard in shards {
            if !kept.contains(shard.digest) {
                if let staged = shard.staged { try FileSystem.remove(staged.path) }
            } else if onUse {
                work.noteSupplier(shard.url.withoutURLSecrets)
                catalog.activity.add(1, to: .misses, SourceKind.disk.rawValue)
                catalog.activity.addFetch(of: shard.model, from: shard.url.withoutURLSecrets, bytes: shard.bytes)
            }
        }
        evictInBackground()
        return kept
    }
}
