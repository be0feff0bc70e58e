import ModelFormats

/// The content of a shard.
public enum ShardKind: String, Sendable, Codable {
    /// One tensor of 1 MiB or more.
    case tensor
    /// The tensors of one expert, or smaller tensors of one layer, each aligned to 64 bytes.
    case pack
    /// Bytes outside tensors: headers and padding, or a whole file without tensors.
    case file
    /// The keys and values of a block of tokens, computed by an engine. It belongs to no file.
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

/// The properties of a shard that its content determines.
package struct ShardFacts: Hashable, Sendable {
    /// The number of bytes, from the beginning of a shard, that `head` covers.
    package static let headBytes = 4 << 20

    package var digest: ContentDigest
    package var bytes: Int
    package var kind: ShardKind
    package var layer: Int?
    /// The first 8 bytes of the digest of the first `headBytes`: the column `shard.head`.
    package var head: Int64

    package init(digest: ContentDigest, bytes: Int, kind: ShardKind, layer: Int? = nil, head: Int64) {
        self.digest = digest
        self.bytes = bytes
        self.kind = kind
        self.layer = layer
        self.head = head
    }
}
