import Files
import Storage

/// A shard of a pending file of which all bytes have arrived. It is neither durable nor in the catalog.
struct ArrivedShard: Sendable {
    /// Receives a shard, on a thread that then makes it durable.
    typealias Receiver = @Sendable (ArrivedShard) -> Void

    let file: FetchFile
    /// Its number in the file's plan.
    let ordinal: Int
    let facts: ShardFacts
    let staged: StagedFile
}

extension Store {
    /// Whether a file lacks another shard that no fetch, of this process or another, has begun, so that the file cannot be
    /// complete before something asks for that shard.
    func lacksOthers(than shard: ArrivedShard) throws -> Bool {
        guard let id = shard.file.id else { return false }
        let (file, partials) = (shard.file, PartialShards(store: path))
        let missing = try catalog.read { db in try PendingFile.missing(id, file.plan, db) }
        return try missing.contains { ordinal in
            guard ordinal != shard.ordinal, let first = file.plan.places(of: ordinal).first,
                try !partials.isInUse(partials.path(of: file.key, at: first.offset))
            else { return false }
            // In this order: a fetch releases its partial file after its commit.
            return try catalog.read { db in
                try FileTable.isPending(id, db) && !ExtentTable.contains(id, offset: first.offset, db)
            }
        }
    }
}
