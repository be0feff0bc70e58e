import GRDB
import Glibc

/// What a rebuild brought back.
public struct RebuildSummary: Sendable, Codable {
    public internal(set) var models = 0
    public internal(set) var revisions = 0
    public internal(set) var refs = 0
    public internal(set) var prompts = 0
    public internal(set) var tensors = 0
    public internal(set) var shards = 0
    /// Shards that a manifest names and that are not there, or in another size.
    public internal(set) var missing = 0
    /// Shards that are not there, and that an origin holds.
    public internal(set) var evicted = 0
    /// Blobs that no revision names: `gc` removes them.
    public internal(set) var strays = 0
    /// Revisions that could not be brought back, and why.
    public internal(set) var lost: [KeptRevision] = []
    /// Where the old catalog was put aside, if there was one.
    public internal(set) var old: String?
}
