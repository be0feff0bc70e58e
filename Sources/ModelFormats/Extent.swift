/// A run of a file's bytes in a shard.
package struct Extent: Hashable, Sendable {
    /// An index into the file's shards.
    package var shard: Int
    package var shardOffset: Int
    package var length: Int

    package init(shard: Int, shardOffset: Int, length: Int) {
        self.shard = shard
        self.shardOffset = shardOffset
        self.length = length
    }
}
