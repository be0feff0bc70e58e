import Files

/// The shards of a group that is fetched and made durable together: a few requests, one sync of each directory, one
/// transaction. Large shards are no part of groups: a sync takes as long as writing them.
package struct ShardBatch {
    /// The most shards of a group. Each has two open files while it is fetched.
    package static let mostShards = min(256, max(OpenFiles.limit / 40, 16))
    /// The most bytes of a group.
    package static let mostBytes = 16 << 20
    /// The most bytes of a shard that is fetched in a group.
    package static let mostShardBytes = 4 << 20

    private var shards = 0
    private var bytes = 0

    package init() {}

    /// Adds a shard, unless the group is full. A large shard is alone.
    ///
    /// - Parameters:
    ///   - bytes: the size of the shard.
    ///   - limit: the most bytes of the group.
    /// - Returns: whether it was added. The first one always is.
    package mutating func add(bytes added: Int, atMost limit: Int = mostBytes) -> Bool {
        let isFull = shards >= Self.mostShards || bytes.adding(saturating: added) > limit
        let isLarge = added > Self.mostShardBytes || bytes > Self.mostShardBytes && shards == 1
        guard shards == 0 || !(isFull || isLarge) else { return false }
        shards += 1
        bytes.add(saturating: added)
        return true
    }

    /// Divides shards into groups, in their order.
    ///
    /// - Parameters:
    ///   - limit: the most bytes of a group.
    ///   - size: returns the bytes of a shard.
    package static func cut<Shard>(
        _ shards: [Shard], atMost limit: Int = mostBytes, bytes size: (Shard) -> Int
    ) -> [[Shard]] {
        var groups: [[Shard]] = []
        var batch = ShardBatch()
        for shard in shards {
            if groups.isEmpty || !batch.add(bytes: size(shard), atMost: limit) {
                batch = ShardBatch()
                _ = batch.add(bytes: size(shard), atMost: limit)
                groups.append([])
            }
            groups[groups.count - 1].append(shard)
        }
        return groups
    }
}
