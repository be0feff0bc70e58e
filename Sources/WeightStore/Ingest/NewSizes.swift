import Storage

/// The sizes of shards that only one import has brought to the store, and the heads of its shards of these sizes.
struct NewSizes {
    private struct Front: Hashable {
        let bytes: Int
        let head: Int64
    }

    private var sizes: Set<Int> = []
    private var fronts: Set<Front> = []

    /// Adds a size of which the store has no present shard.
    mutating func add(_ bytes: Int) { sizes.insert(bytes) }

    /// Notes a shard that the import has stored.
    mutating func add(_ shard: ShardFacts) {
        if sizes.contains(shard.bytes) { fronts.insert(Front(bytes: shard.bytes, head: shard.head)) }
    }

    /// Whether no shard with this size and head is in the store, as far as this import knows.
    func excludes(bytes: Int, head: Int64) -> Bool {
        sizes.contains(bytes) && !fronts.contains(Front(bytes: bytes, head: head))
    }
}
