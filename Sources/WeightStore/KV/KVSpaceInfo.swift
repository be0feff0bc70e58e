import GRDB
import Storage

/// The KV blocks of one revision, format, tenant and block length.
public struct KVSpaceInfo: Sendable, Codable {
    /// `org/name`.
    public let model: String
    /// `org/name@~3`.
    public let revision: String
    /// Whether the revision is superseded by a newer version: its blocks are evicted first.
    public let superseded: Bool
    /// The layout of a block's bytes.
    public let format: String
    /// The SHA-256 of the tenant's salt.
    public let tenant: ContentDigest
    /// Tokens per block.
    public let blockTokens: Int
    /// The number of blocks.
    public let blocks: Int
    /// Bytes of the blobs.
    public let bytes: Int
    /// The number of tokens in the longest prefix.
    public let longest: Int
    /// The number of accesses of all blocks.
    public let accesses: Int
    /// The time of the last access, in seconds since 1970.
    public let lastAccess: Int
}

/// The KV blocks on the disk, and their quota.
public struct KVGauge: Sendable, Codable {
    /// The quota and its policy.
    public let quota: Quota
    /// The number of blocks.
    public let blocks: Int
    /// Bytes of the blobs.
    public let bytes: Int
    /// Of `bytes`, those of superseded revisions, which are evicted first.
    public let superseded: Int
    /// The number of spaces: combinations of revision, format, tenant and block length.
    public let spaces: Int
}

/// The KV blocks to drop: those for which every condition that is set holds.
public struct KVSelection: Sendable {
    /// A model, or one revision of it (as in ``Store/revision(_:)``); nil means all. Blocks that are shared with other
    /// revisions are dropped, too.
    public var revision: String?
    /// A prefix of the SHA-256 of the tenant's salt, in hexadecimal digits.
    public var tenant: String?
    /// Only blocks of superseded revisions.
    public var superseded = false
    /// Only blocks that were not used for this many seconds, and whose descendants were not either.
    public var olderThanSeconds: Int?

    /// A selection of all blocks.
    public init() {}
}

/// The result of dropping KV blocks, or of its dry run.
public struct KVDropSummary: Sendable, Codable {
    /// The number of blocks dropped.
    public internal(set) var blocks = 0
    /// Bytes freed on the disk.
    public internal(set) var bytes = 0
}
