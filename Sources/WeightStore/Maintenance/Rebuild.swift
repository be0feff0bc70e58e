import GRDB
import Glibc

/// The result of a rebuild. All numbers are counts.
public struct RebuildSummary: Sendable, Codable {
    /// Restored models.
    public internal(set) var models = 0
    /// Restored revisions.
    public internal(set) var revisions = 0
    /// Restored refs.
    public internal(set) var refs = 0
    /// Restored prompts.
    public internal(set) var prompts = 0
    /// Tensors in the files of restored revisions.
    public internal(set) var tensors = 0
    /// Distinct shards of restored revisions.
    public internal(set) var shards = 0
    /// Of these shards, those whose blob is missing or has another size, and that no origin holds.
    public internal(set) var missing = 0
    /// Of these shards, those whose blob is missing or has another size, and that an origin holds.
    public internal(set) var evicted = 0
    /// Blobs that no revision holds: KV blocks, leftovers of an interrupted import or pull, or the shards and the
    /// manifest of a model whose record is lost. Collections keep them until they are imported again, or the user
    /// discards them.
    public internal(set) var unreferencedBlobs = 0
    /// The size of these blobs, in bytes.
    public internal(set) var unreferencedBytes = 0
    /// Revisions and records that could not be restored, with reasons.
    public internal(set) var lost: [KeptRevision] = []
    /// The path of the old catalog, if there was one.
    public internal(set) var oldCatalog: String?

    private enum CodingKeys: String, CodingKey {
        case models, revisions, refs, prompts, tensors, shards, missing, evicted, lost, unreferencedBytes
        case unreferencedBlobs = "strays"
        case oldCatalog = "old"
    }
}
