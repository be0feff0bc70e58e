import GRDB
import Storage

/// The KV blocks of one revision, format, tenant and block length.
public struct KVSpaceInfo: Sendable, Codable {
    public let model: String
    /// `org/name@v3`.
    public let revision: String
    /// Whether a newer version has taken the revision's place: these blocks go first.
    public let superseded: Bool
    public let format: String
    /// The SHA-256 of the tenant's salt.
    public let tenant: ContentDigest
    /// Tokens of a block.
    public let blockTokens: Int
    public let blocks: Int
    /// Bytes of the blobs.
    public let bytes: Int
    /// Tokens of the longest prefix.
    public let longest: Int
    public let accesses: Int
    /// Seconds since 1970.
    public let lastAccess: Int
}

/// How full the disk is with KV blocks.
public struct KVGauge: Sendable, Codable {
    public let quota: Quota
    public let blocks: Int
    public let bytes: Int
    /// Of `bytes`, those of superseded revisions, which go first.
    public let superseded: Int
    public let spaces: Int
}

/// Which KV blocks to drop: those for which all of it holds.
public struct KVSelection: Sendable {
    /// A model, or one revision of it (as in ``Store/revision(_:)``); nil means all. Blocks that other revisions share are
    /// dropped, too.
    public var revision: String?
    /// How the SHA-256 of the tenant's salt begins, in hexadecimal digits.
    public var tenant: String?
    /// Only those of superseded revisions.
    public var superseded = false
    /// Only those that were not used for so many seconds, and nothing that builds on them either.
    public var olderThanSeconds: Int?

    public init() {}
}

/// What was dropped, or would be.
public struct KVDropSummary: Sendable, Codable {
    public internal(set) var blocks = 0
    /// What the disk gets back.
    public internal(set) var bytes = 0
}
