import GRDB

/// A model, as `ls` shows it.
public struct Model: Sendable, Codable {
    public let name: String
    /// Complete revisions.
    public let revisions: Int
    /// The newest version.
    public let version: Int?
    /// Bytes of the newest version's files.
    public let bytes: Int
    public let tensors: Int
    public let layers: Int
    public let refs: [String]
    public let pinned: Bool
    /// Seconds since 1970.
    public let modified: Int
    public let lastAccess: Int
    public let accesses: Int

    package init(
        name: String, revisions: Int, version: Int?, bytes: Int, tensors: Int, layers: Int, refs: [String],
        pinned: Bool, modified: Int, lastAccess: Int, accesses: Int
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
    }
}
