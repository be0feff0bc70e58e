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

extension ShardKind {
    package init(_ kind: ShardPlan.Kind) {
        self =
            switch kind {
            case .tensor: .tensor
            case .pack: .pack
            case .file: .file
            }
    }
}

/// A shard as a file's content speaks of it.
package struct ShardFacts: Hashable, Sendable {
    /// How much of a shard's beginning goes into `head`.
    package static let headBytes = 4 << 20

    package var digest: ContentDigest
    package var bytes: Int
    package var kind: ShardKind
    package var layer: Int?
    /// See `shard.head` in the schema.
    package var head: Int64

    package init(digest: ContentDigest, bytes: Int, kind: ShardKind, layer: Int? = nil, head: Int64) {
        self.digest = digest
        self.bytes = bytes
        self.kind = kind
        self.layer = layer
        self.head = head
    }
}
