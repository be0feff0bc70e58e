/// A contiguous range of a file's bytes that lies in one shard.
package struct Extent: Hashable, Sendable {
    /// An index into the file's shards.
    package var shard: Int
    /// The position of the first byte in the shard, in bytes.
    package var shardOffset: Int
    /// The number of bytes.
    package var length: Int

    /// Creates an extent.
    package init(shard: Int, shardOffset: Int, length: Int) {
        self.shard = shard
        self.shardOffset = shardOffset
        self.length = length
    }
}
