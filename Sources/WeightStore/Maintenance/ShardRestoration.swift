import Files
import GRDB
import Storage

/// Restores the rows of shards from manifests, in a rebuild or a merge.
///
/// A rebuild knows all blobs from a ``BlobListing``, in which it also finds the rows that it has made. A merge looks for
/// the row and the blob of each shard.
struct ShardRestoration {
    private let blobs: BlobDirectory
    private(set) var listing: BlobListing?

    /// - Parameter listing: nil for a merge.
    init(_ blobs: BlobDirectory, _ listing: BlobListing?) {
        self.blobs = blobs
        self.listing = listing
    }

    /// Requires that a manifest gives each shard one size, and that of its row. Otherwise the revision is lost, and none of
    /// its rows may be inserted.
    ///
    /// - Throws: ``StorageError/invalid(what:value:reason:)``.
    func check(_ manifest: Manifest, _ db: Database) throws {
        var sizes: [ContentDigest: Int] = [:]
        for file in manifest.files {
            for facts in file.content.shards {
                if let known = sizes[facts.digest] {
                    try FileContent.check(facts, storedBytes: known)
                    continue
                }
                sizes[facts.digest] = facts.bytes
                if let stored = try rowBytes(facts.digest, db) { try FileContent.check(facts, storedBytes: stored) }
            }
        }
    }

    /// The size of a shard according to its row, in bytes; nil if it has none.
    private func rowBytes(_ digest: ContentDigest, _ db: Database) throws -> Int? {
        if let listing, let place = listing.find(digest) {
            switch listing.row(place) {
            case .none: return nil
            case .whole: return listing.bytes(place)
            case .otherSize: break
            }
        }
        return try ShardTable.find(digest, db)?.bytes
    }

    /// Finds or inserts the rows of a file's shards, and its own rows, and links it to a revision. The manifest of the file
    /// was checked.
    ///
    /// - Parameters:
    ///   - revision: the id of the revision.
    ///   - hasOrigin: whether an origin holds the revision: then a shard without a blob was evicted.
    mutating func restore(
        _ file: Manifest.File, of revision: Int64, hasOrigin: Bool, _ summary: inout RebuildSummary, _ db: Database
    ) throws {
        let content = file.content
        // By digest, because extents may name either line of a shard that is listed twice.
        let used = Set(content.extents.map { content.shards[$0.shard].digest })
        var ids = [Int64](repeating: 0, count: content.shards.count)
        var found: Set<Int64> = []
        var rows: [ShardTable.NewShard] = []
        var new: [(index: Int, place: BlobListing.Place?)] = []
        // A manifest may list a shard twice.
        var first: [ContentDigest: Int] = [:]
        var repeated: [(index: Int, first: Int)] = []
        for (index, facts) in content.shards.enumerated() {
            if let first = first[facts.digest] {
                repeated.append((index, first))
                continue
            }
            first[facts.digest] = index
            let place = listing?.find(facts.digest)
            if let known = try row(facts, place, hasOrigin: hasOrigin, &summary, db) {
                ids[index] = known
                found.insert(known)
                continue
            }
            let isWhole = try bytes(facts.digest, place) == facts.bytes
            let state: ShardState = isWhole ? .present : hasOrigin ? .evicted : .missing
            new.append((index, place))
            rows.append(ShardTable.NewShard(facts, state, isOrphan: !used.contains(facts.digest)))
            summary.evicted += state == .evicted ? 1 : 0
            summary.missing += state == .missing ? 1 : 0
        }
        for (shard, (row, id)) in zip(new, zip(rows, try ShardTable.insert(rows, db))) {
            ids[shard.index] = id
            if let place = shard.place { listing?.setRow(row.state == .present ? .whole(id) : .otherSize, place) }
        }
        for (index, first) in repeated { ids[index] = ids[first] }
        summary.shards += rows.count
        try RevisionTable.link(revision, file.path, try content.save(ids, db), db)
        try ShardTable.adopt(found, db)
    }

    /// The id of a shard's row; nil if it has none.
    private func row(
        _ facts: ShardFacts, _ place: BlobListing.Place?, hasOrigin: Bool, _ summary: inout RebuildSummary,
        _ db: Database
    ) throws -> Int64? {
        if let listing, let place {
            switch listing.row(place) {
            case .none: return nil
            case .whole(let id): return id
            case .otherSize: break
            }
        }
        guard let row = try ShardTable.find(facts.digest, db) else { return nil }
        // A revision without an origin was read before this one, which can fetch the shard.
        if row.state == .missing, hasOrigin {
            try ShardTable.mark(facts.digest, as: .evicted, db)
            summary.missing = max(0, summary.missing - 1)
            summary.evicted += 1
        }
        return row.id
    }

    /// The size of the shard's blob, in bytes; nil if there is none.
    private func bytes(_ digest: ContentDigest, _ place: BlobListing.Place?) throws -> Int? {
        if let listing { return place.map(listing.bytes) }
        let blob = blobs.path(digest)
        let bytes = try FileSystem.status(blob)?.bytes
        // Every other error than ENOENT ends the merge.
        if bytes == nil { _ = try FileSystem.isAbsent(blob) }
        return bytes
    }
}
