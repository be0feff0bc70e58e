import ModelFormats
import Support

/// Small shards that follow each other in a file, each in one place: all of them are read at once.
struct SmallShardRun {
    /// The most bytes of a small shard.
    static let mostShardBytes = 64 << 10
    /// The most shards of a run, which are looked up by one statement.
    static let mostShards = 1024

    /// The numbers of the shards' extents in the plan.
    let extents: Range<Int>
    /// The offset of the first one in the file.
    let offset: Int
    /// The number of bytes of all, which fit one buffer of a `BufferPool`.
    let bytes: Int

    /// - Returns: nil if the shard of the extent `first` is not small, or lies in several places.
    init?(_ plan: ShardPlan, from first: Int) {
        var (end, bytes) = (first, 0)
        while end < plan.extents.count {
            let extent = plan.extents[end]
            guard end - first < Self.mostShards, extent.length <= Self.mostShardBytes,
                plan.extentCount(of: extent.shard) == 1,
                bytes + extent.length <= BufferPool.bufferBytes
            else { break }
            bytes += extent.length
            end += 1
        }
        if end == first { return nil }
        extents = first..<end
        offset = plan.offset(of: first)
        self.bytes = bytes
    }
}
