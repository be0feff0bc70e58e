import GRDB

/// A model and its totals.
public struct Model: Sendable, Codable {
    /// The name, `org/name`.
    public let name: String
    /// The number of complete revisions.
    public let revisions: Int
    /// The newest version; nil if no revision is complete.
    public let version: Int?
    /// The size of the newest version's files, in bytes.
    public let bytes: Int
    /// The number of tensors of the newest version.
    public let tensors: Int
    /// The number of layers of the newest version.
    public let layers: Int
    /// The names of the refs, sorted.
    public let refs: [String]
    /// Whether a revision is pinned.
    public let pinned: Bool
    /// The time of the newest version, in seconds since 1970; without one, that of the model's creation.
    public let modified: Int
    /// The time of the last access to any revision, in seconds since 1970; without one, that of the model's creation.
    public let lastAccess: Int
    /// The number of accesses to all revisions.
    public let accesses: Int
    /// Why files of the newest version are missing; nil if none is known to be missing.
    public let partial: String?
    /// Bytes of the newest version's files that are not stored: evicted, never fetched, damaged or missing.
    public let absent: Int
    /// Of these, bytes of shards that are damaged or missing.
    public let damaged: Int

    package init(
        name: String, revisions: Int, version: Int?, bytes: Int, tensors: Int, layers: Int, refs: [String],
        pinned: Bool, modified: Int, lastAccess: Int, accesses: Int, partial: String? = nil,
        absent: Int = 0, damaged: Int = 0
    ) {
        self.name = name
        self.revisions = revisions
        self.version = version
        self.bytes = bytes
        self.tensors = tensors
        self.layers = layers
        self.refs = refs
        self.pinned = pinned
        self.modified = modified
        self.lastAccess = lastAccess
        self.accesses = accesses
        self.partial = partial
        self.absent = absent
        self.damaged = damaged
    }
}
