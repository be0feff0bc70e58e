import Crypto
import ModelFormats
import Storage
import Support

/// Files of which the store holds all or some of the bytes before they are read.
extension FileIngest {
    /// A file that the store knows, cut by an older rule, or not cut at its tensors.
    enum KnownCut {
        /// The store holds all of it.
        case stored(FileContent)
        /// Shards of it are damaged, lost or evicted, or its bytes were not hashed here. It is cut in the same way.
        case incomplete(ShardPlan)
    }

    /// Hashes a file that an older rule has probably cut, or an older version has stored without its tensors, so that the
    /// same bytes are not stored twice.
    ///
    /// - Returns: nil if the store does not know the file, or not in this way.
    func knownCut(
        _ source: FileSource, _ status: FileStatus, _ layout: FileLayout, _ plan: ShardPlan
    ) throws -> KnownCut? {
        let older = olderPlan.map { OlderCut($0, newer: plan, run) { source } }
        guard try run.isProbablyOneShard(source, layout) || older?.isProbablyKnown(layout) == true else { return nil }
        var hasher = SHA256()
        try forEachChunk(0, layout.bytes) { offset, room in
            try run.check()
            try source.read(at: offset, into: room)
            hasher.update(bufferPointer: UnsafeRawBufferPointer(room))
        }
        try source.checkUnchanged()
        let digest = ContentDigest(hasher.finalize())
        guard let content = try run.content(of: digest, as: layout) else {
            guard let older else { return nil }
            let known = try run.catalog.read { db in
                try FileTable.all(digest, for: layout.format, db).first { !$0.isPending }
            }
            return known?.rule == older.plan.rule ? .incomplete(older.plan) : nil
        }
        if isSettled {
            try run.catalog.write(durable: false, work: run.work) { db in
                try SourceTable.setDigest(digest, of: try SourceTable.remember(status, db), db)
            }
        }
        run.skip(status.bytes)
        return .stored(content)
    }

    /// The shards of a file that is unchanged since all of it was read.
    ///
    /// A memo of another plan numbers other shards: it is not used. Nor is the memo of a part: the file is read anyway
    /// for its digest, and hashing all of its shards on the way costs no more than not to.
    ///
    /// - Returns: nil if one of them is not known or not present.
    func remembered(_ known: SourceMemo, _ plan: ShardPlan) throws -> [Int: ShardFacts]? {
        guard known.plan == plan.digest else { return nil }
        let areOfPlan = plan.shards.enumerated().allSatisfy { ordinal, shard in
            guard let facts = known.shards[ordinal] else { return false }
            return facts.bytes == shard.bytes && facts.kind == ShardKind(shard.kind)
        }
        let shards = Array(known.shards.values)
        guard areOfPlan, try run.sampler.areIntact(shards), try run.claim(shards) else { return nil }
        return known.shards
    }
}
