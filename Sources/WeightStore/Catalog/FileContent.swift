import ModelFormats

/// What kind of bytes a shard holds.
public enum ShardKind: String, Sendable, Codable {
    /// One tensor of 1 MiB or more.
    case tensor
    /// The smaller tensors of one layer (of one expert), each aligned to 64 bytes.
    case pack
    /// Bytes of no tensor: headers and padding, or a whole file that holds no tensors.
    case file
    /// Keys and values that an engine computed for a block of tokens. It belongs to no file.
    case kv
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
    /// Not all bytes have come: there are neither shards nor extents, only what was published and the header says.
    var isPending = false
}

extension FileContent {
    /// The one form that every reading of the same bytes gives, and so the one that manifests are made of: each shard
    /// once, in the order in which the file first uses it.
    func canonical() -> FileContent {
        var result = self
        var places: [Digest: Int] = [:]
        result.shards = []
        for index in extents.indices {
            let facts = shards[extents[index].shard]
            if places[facts.digest] == nil {
                places[facts.digest] = result.shards.count
                result.shards.append(facts)
            }
            result.extents[index].shard = places[facts.digest]!
        }
        return result
    }

    /// Tells kind and layer of the shards by the tensors in them.
    mutating func classifyShards() {
        var starts: [Int: Int] = [:]
        var offset = 0
        for extent in extents {
            starts[offset] = extent.shard
            offset += extent.length
        }
        for tensor in tensors where tensor.bytes > 0 {
            guard let shard = starts[tensor.offset] else { continue }
            shards[shard].kind = tensor.bytes >= FilePlan.tensorBytes ? .tensor : .pack
            shards[shard].layer = TensorPlace(tensorName: tensor.name).layer
        }
    }
}
