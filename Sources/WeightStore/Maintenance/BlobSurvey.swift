import Files
import GRDB
import Storage

/// A comparison of all files in `blobs/` with the catalog, made before a collection changes anything.
///
/// A file that cannot be read, or a directory, ends it: only `ENOENT` makes a shard missing. If more than 10 shards and
/// more than 0.1 % of those that should be present are missing, it throws, because that is a disk that is gone rather than
/// shards that are. Rows may change after it; the collection checks each again under the write lock.
struct BlobSurvey {
    /// Blobs that no row keeps, and blobs of evicted shards.
    private(set) var unreferenced: [BlobDirectory.Name] = []
    /// Present shards, KV blocks included, without a file.
    private(set) var missing: [ContentDigest] = []
    /// Shards that are listed as missing or quarantined and that have a file.
    private(set) var reappeared: [ContentDigest] = []
    /// Manifests and records that are missing or empty.
    private(set) var undescribed: [BlobDirectory.Name] = []
    /// Paths of files that are no blobs.
    private(set) var unknownFiles: [String] = []

    private var missingWeights = 0
    private static let fewMissing = 10
    private static let mostMissing = 0.001

    /// - Throws: ``StorageError/tooManyMissing(path:missing:shards:)``, ``FileError``.
    init(_ catalog: Catalog, _ blobs: BlobDirectory) throws {
        for directory in BlobDirectory.fanOut { try compare(directory, catalog, blobs) }
        let shards = try catalog.read { db in try Totals.shards(.weights, db) }
        if missingWeights > Self.fewMissing, Double(missingWeights) > Self.mostMissing * Double(shards) {
            throw StorageError.tooManyMissing(path: blobs.root, missing: missingWeights, shards: shards)
        }
    }

    private mutating func compare(_ directory: String, _ catalog: Catalog, _ blobs: BlobDirectory) throws {
        guard let digests = ContentDigest.range(prefix: directory) else { return }
        let (files, unknown) = try blobs.contents(directory)
        unknownFiles += unknown.map { "\(blobs.root)/\(directory)/\($0)" }
        var unmatched = Set(files)
        let (shards, descriptions) = try catalog.read { db in
            (
                try ShardTable.states(in: digests, db),
                try RevisionTable.manifests(in: digests, db).map { BlobDirectory.Name(digest: $0, kind: .manifest) }
                    + ModelTable.records(in: digests, db).map { BlobDirectory.Name(digest: $0, kind: .record) }
            )
        }
        for shard in shards {
            let name = BlobDirectory.Name(digest: shard.digest, kind: .shard)
            switch shard.state {
            case .present:
                if unmatched.remove(name) != nil { continue }
                guard try FileSystem.isAbsent(blobs.path(shard.digest)) else { continue }
                missing.append(shard.digest)
                if shard.kind != .kv { missingWeights += 1 }
            case .missing, .quarantined:
                if unmatched.remove(name) != nil { reappeared.append(shard.digest) }
            case .evicted: continue
            }
        }
        for name in descriptions {
            let path = blobs.path(name.digest, name.kind)
            if unmatched.remove(name) == nil {
                if try FileSystem.isAbsent(path) { undescribed.append(name) }
            } else if try FileSystem.status(path)?.bytes == 0 {
                undescribed.append(name)
            }
        }
        unreferenced += unmatched
    }
}
