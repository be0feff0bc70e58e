import ModelFormats
import Storage

extension ShardPlan {
    /// The identity of a plan: the SHA-256 over the rule's number, and over the shards and extents in their order, with
    /// all of their properties.
    var digest: ContentDigest {
        var numbers = [Int64(rule), Int64(shards.count), Int64(extents.count)]
        numbers.reserveCapacity(3 + 3 * shards.count + 3 * extents.count)
        for shard in shards {
            let kind: Int64 =
                switch shard.kind {
                case .tensor: 0
                case .pack: 1
                case .file: 2
                }
            numbers += [kind, Int64(shard.bytes), Int64(shard.layer ?? -1)]
        }
        for extent in extents { numbers += [Int64(extent.shard), Int64(extent.shardOffset), Int64(extent.length)] }
        return numbers.map(\.littleEndian).withUnsafeBytes { ContentDigest(of: $0) }
    }
}
