import GRDB
import Glibc

/// What a collection freed, or would free.
public struct CollectionSummary: Sendable, Codable {
    /// Shards that nothing referenced, after the grace period.
    public internal(set) var orphans = 0
    /// Blobs without rows: what crashes leave.
    public internal(set) var strays = 0
    /// Staging files of dead processes, and shards that came in part and that nobody went on with.
    public internal(set) var staged = 0
    /// Quarantined blobs whose shard has been healed, or has gone.
    public internal(set) var quarantined = 0
    /// What the disk got back.
    public internal(set) var bytes = 0
    /// Shards whose files are gone, found now; `hits` names the models.
    public internal(set) var missing = 0
    public internal(set) var hits: [String] = []
    /// KV blocks whose files are gone, and what built on them: dropped, and nobody is hit.
    public internal(set) var kvBlocks = 0
    /// Files in `blobs/` that are no blobs. They are left alone.
    public internal(set) var strangers: [String] = []

    public var isEmpty: Bool {
        orphans + strays + staged + quarantined + missing + kvBlocks == 0 && strangers.isEmpty
    }
}
