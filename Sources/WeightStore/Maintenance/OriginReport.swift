import GRDB
import Storage

/// An origin of a revision, and what is known of it.
public struct RevisionOrigin: Sendable, Codable {
    /// `org/name@~3`.
    public let revision: String
    /// The SHA-256 of the revision's manifest.
    public let digest: ContentDigest
    /// The URL of the origin.
    public let origin: String
    /// When the origin was last seen to hold the revision, in seconds since 1970; nil if it never was, or was seen to
    /// lack it since.
    public let checked: Int?
    /// When the origin was last seen to lack the revision, in seconds since 1970; nil if it never was, or was seen to
    /// hold it since.
    public let absent: Int?
}

/// The result of a check of one origin for one revision.
public struct OriginCheckOutcome: Sendable, Codable, Equatable {
    /// The state of the origin after the check.
    public enum State: String, Sendable, Codable {
        /// The origin holds the revision.
        case holds
        /// The origin does not hold the revision, or holds other bytes.
        case lacks
        /// The origin did not respond, or its response was inconclusive.
        case unanswered
    }

    /// `org/name@~3`.
    public let revision: String
    /// The URL of the origin.
    public let origin: String
    /// The result.
    public let state: State
    /// Why it is not ``State/holds``; nil if it is.
    public let reason: String?

    /// The revision's row; 0 for a decoded outcome.
    var id: Int64 = 0

    private enum CodingKeys: String, CodingKey { case revision, origin, state, reason }

    init(_ revision: RevisionRow, _ origin: String, _ state: State, _ reason: String? = nil) {
        self.revision = revision.name
        self.origin = origin
        self.state = state
        self.reason = reason
        id = revision.id
    }
}

/// The shards of revisions whose bytes are not stored, by what is known of their origins.
public struct AbsentShards: Sendable, Codable {
    /// The number of shards that a checked origin has.
    public internal(set) var shards = 0
    /// Bytes of these shards.
    public internal(set) var bytes = 0
    /// The number of shards that have origins, none of which is checked.
    public internal(set) var uncheckedShards = 0
    /// Bytes of these shards.
    public internal(set) var uncheckedBytes = 0
    /// The number of shards that no origin has.
    public internal(set) var lostShards = 0
    /// Bytes of these shards.
    public internal(set) var lostBytes = 0
    /// Bytes of files that were never fetched.
    public internal(set) var neverFetched = 0

    /// Whether all bytes are stored.
    public var isEmpty: Bool { shards + uncheckedShards + lostShards + neverFetched == 0 }
}
