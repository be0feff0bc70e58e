import GRDB
import Glibc

/// The result of a garbage collection, or of its dry run.
public struct CollectionSummary: Sendable, Codable {
    /// The number of shards that were unreferenced for longer than the grace period.
    public internal(set) var orphans = 0
    /// The number of blobs without rows, left behind by crashes and deleted after the grace period.
    public internal(set) var unreferencedBlobs = 0
    /// The number of staging files of dead processes, and of partial shards whose fetch was not resumed in time.
    public internal(set) var staged = 0
    /// The number of quarantined blobs whose shard is present again, or was removed.
    public internal(set) var quarantined = 0
    /// Bytes freed on the disk.
    public internal(set) var bytes = 0
    /// The number of shards whose blobs were found missing now; `affectedRevisions` lists their revisions.
    public internal(set) var missing = 0
    /// Names of the revisions that hold a shard found missing.
    public internal(set) var affectedRevisions: [String] = []
    /// The number of KV blocks dropped because their blobs, or those of blocks before them, are missing.
    public internal(set) var kvBlocks = 0
    /// The number of shards that were missing or quarantined and are present again, because their blobs are back.
    public internal(set) var reinstated = 0
    /// The number of manifests and records that were missing and were rewritten from the catalog.
    public internal(set) var rewritten = 0
    /// Names of the revisions whose manifest or record is missing and cannot be rewritten from the catalog.
    public internal(set) var unrestorable: [String] = []
    /// The number of blobs without rows that were kept, because a rebuild could not read everything.
    public internal(set) var kept = 0
    /// Paths in `blobs/`, `staging/`, `partial/` and `quarantine/` that the store did not create. They are left in place.
    public internal(set) var unknownFiles: [String] = []

    private enum CodingKeys: String, CodingKey {
        case orphans, staged, quarantined, bytes, missing, kvBlocks, reinstated, rewritten, kept
        case affectedRevisions = "hits"
        case unrestorable = "undescribed"
        case unreferencedBlobs = "strays"
        case unknownFiles = "strangers"
    }

    /// Whether nothing was found.
    public var isEmpty: Bool {
        orphans + unreferencedBlobs + staged + quarantined + missing + kvBlocks + reinstated + rewritten + kept == 0
            && unknownFiles.isEmpty && unrestorable.isEmpty
    }
}
