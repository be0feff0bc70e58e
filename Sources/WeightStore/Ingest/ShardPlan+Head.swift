import ModelFormats
import Storage
import Support

extension ShardPlan {
    /// The head of a shard (`ShardFacts.head`), read from the file.
    func head(of ordinal: Int, in source: FileSource) throws -> Int64 {
        // Zeroed: so is the padding between tensors.
        let front = Buffer(bytes: min(shards[ordinal].bytes, ShardFacts.headBytes))
        for place in places(of: ordinal) where place.extent.shardOffset < front.capacity {
            let count = min(place.extent.length, front.capacity - place.extent.shardOffset)
            try source.read(at: place.offset, into: front.writableBytes(at: place.extent.shardOffset, count))
        }
        return ContentDigest(of: front.bytes(front.capacity)).head
    }
}
