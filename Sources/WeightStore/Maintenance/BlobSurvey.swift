import Files
import GRDB
import Storage

/// A comparison of files in `blobs/` with the catalog, made before a collection changes anything (`SurveyScope`), and of
/// all files after a rebuild.
///
/// A file that cannot be read, or a directory, ends it: only `ENOENT` makes a shard missing. Rows may change after it;
/// the collection checks each again under the write lock.
struct BlobSurvey {
    /// Blobs that no row keeps, and blobs of evicted shards that an origin has.
    private(set) var unreferenced: [BlobDirectory.Name] = []
    /// Present shards, KV blocks included, without a file.
    private(set) var missing: [ContentDigest] = []
    /// Shards that are listed as missing or quarantined, or as evicted while no origin has them, and that have a file.
    private(set) var reappeared: [ContentDigest] = []
    /// Manifests and records that are missing or empty.
    private(set) var undescribed: [BlobDirectory.Name] = []
    /// Paths of files that are no blobs.
    private(set) var unknownFiles: [String] = []
    /// The directories in which files and rows agree.
    private(set) var inOrder: [String] = []

    private let path: String
    /// The evicted shards that no origin has.
    private let lost: Set<ContentDigest>
    private var missingWeights = 0
    private static let fewMissing = 10
    private static let mostMissing = 0.001

    /// - Parameter directories: the names of the directories to compare.
    /// - Throws: ``FileError``.
    init(_ catalog: Catalog, _ blobs: BlobDirectory, _ directories: [String] = BlobDirectory.fanOut) throws {
        path = blobs.root
        lost = directories.isEmpty ? [] : try catalog.read { db in try Store.lostEvicted(db) }
        for directory in directories {
            let before = findings
            try compare(directory, catalog, blobs)
            if findings == before { inOrder.append(directory) }
        }
    }

    private var findings: Int {
        unreferenced.count + missing.count + reappeared.count + undescribed.count + unknownFiles.count
    }

    /// Requires that at most 10 shards, or 0.1 % of those that should be present, are missing: more indicate a lost
    /// disk rather than lost shards.
    ///
    /// - Throws: ``StorageError/tooManyMissing(path:missing:shards:)``.
    func requireFewMissing(_ catalog: Catalog) throws {
        let shards = try catalog.read { db in try Totals.shards(.weights, db) }
        if missingWeights > Self.fewMissing, Double(missingWeights) > Self.mostMissing * Double(shards) {
            throw StorageError.tooManyMissing(path: path, missing: missingWeights, shards: shards)
        }
    }

    /// The entry that keeps shards and manifests without rows after a rebuild or a merge: a model whose record and
    /// manifest are both lost has left no other trace.
    ///
    /// - Returns: none if there are no such blobs.
    func unlisted(_ catalog: Catalog, _ blobs: BlobDirectory, _ summary: inout RebuildSummary) throws
        -> [RebuildLoss.Entry]
    {
        for name in unreferenced where name.kind != .record {
            // The blob of an evicted shard has a row: it is damaged.
            if name.kind == .shard, try catalog.read({ db in try ShardTable.find(name.digest, db) }) != nil { continue }
            guard let status = try FileSystem.status(blobs.path(name.digest, name.kind)) else { continue }
            summary.unreferencedBlobs += 1
            summary.unreferencedBytes += status.bytes
        }
        if summary.unreferencedBlobs == 0 { return [] }
        return [RebuildLoss.Entry(blobs: summary.unreferencedBlobs, bytes: summary.unreferencedBytes)]
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
            case .evicted:
                if lost.contains(shard.digest), unmatched.remove(name) != nil { reappeared.append(shard.digest) }
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
        for name in unmatched {
            let path = blobs.path(name.digest, name.kind)
            if try FileSystem.status(path, following: false)?.isDirectory == true {
                unknownFiles.append(path)
            } else {
                unreferenced.append(name)
            }
        }
    }
}
