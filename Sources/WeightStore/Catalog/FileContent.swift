import ModelFormats

/// What kind of bytes a shard holds.
public enum ShardKind: String, Sendable, Codable {
    /// One tensor of 1 MiB or more.
    case tensor
    /// The smaller tensors of one layer (of one expert), each aligned to 64 bytes.
    case pack
    /// Bytes of no tensor: headers and padding, or a whole file that holds no tensors.
    case file
}

/// A shard as a file's content speaks of it.
struct ShardFacts: Hashable, Sendable {
    /// How much of a shard's beginning goes into `head`.
    static let headBytes = 4 << 20

    var digest: Digest
    var bytes: Int
    var kind: ShardKind
    var layer: Int?
    /// See `shard.head` in the schema.
    var head: Int64
}

/// A run of a file's bytes in a shard.
struct Extent: Hashable, Sendable {
    /// An index into the content's shards.
    var shard: Int
    var shardOffset: Int
    var length: Int
}

/// A file's bytes, told in shards: the extents, in order, cover every byte once.
struct FileContent: Hashable, Sendable {
    var digest: Digest
    var bytes: Int
    var format: FileFormat
    var shards: [ShardFacts]
    var extents: [Extent]
    var tensors: [TensorInfo]
}
