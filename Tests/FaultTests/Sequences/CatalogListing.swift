import Files
import GRDB
import Logging
import Origins
import Storage
@testable import WeightStore

/// The models and revisions in the catalog.
struct CatalogListing: Equatable {
    struct Key: Hashable, CustomStringConvertible {
        var model: String
        var digest: ContentDigest

        var description: String { "\(model)@\(digest.short)" }
    }

    struct Revision: Equatable {
        /// nil while a move is unfinished.
        var version: Int?
        var refs: Set<String> = []
        var isPinned = false
        /// URLs.
        var origins: Set<String> = []
    }

    var models: Set<String> = []
    var revisions: [Key: Revision] = [:]

    init() {}

    init(_ store: Store) throws {
        for model in try store.models() {
            models.insert(model.name)
            for info in try store.revisions(of: model.name) {
                revisions[Key(model: model.name, digest: info.digest)] = Revision(
                    version: info.version, refs: Set(info.refs), isPinned: info.pin != nil)
            }
        }
        for origin in try store.revisionOrigins() {
            let model = String(origin.revision.prefix { $0 != "@" })
            revisions[Key(model: model, digest: origin.digest)]?.origins.insert(origin.origin)
        }
    }

    // MARK: Names

    func keys(of model: String) -> [Key] { revisions.keys.filter { $0.model == model } }

    func newestVersion(of model: String) -> Int { keys(of: model).compactMap { revisions[$0]?.version }.max() ?? 0 }

    func target(of ref: String, in model: String) -> Key? {
        keys(of: model).first { revisions[$0]?.refs.contains(ref) == true }
    }

    /// The one revision that a name means; nil if there is none.
    func revision(_ name: String) -> Key? {
        let parts = name.split(separator: "@", maxSplits: 1).map(String.init)
        let model = parts[0]
        guard parts.count == 2 else {
            let newest = newestVersion(of: model)
            return target(of: "main", in: model) ?? keys(of: model).first { revisions[$0]?.version == newest }
        }
        if parts[1].hasPrefix("~"), let version = Int(parts[1].dropFirst()) {
            return keys(of: model).first { revisions[$0]?.version == version }
        }
        return target(of: parts[1], in: model) ?? keys(of: model).first { $0.digest.hex.hasPrefix(parts[1]) }
    }

    /// All revisions that a name means for `rm` and `origin`; nil if it is unknown. A model may have none.
    func all(_ name: String) -> [Key]? {
        if name.contains("@") { return revision(name).map { [$0] } }
        return models.contains(name) ? keys(of: name) : nil
    }

    // MARK: Changes

    mutating func move(_ ref: String, to key: Key) {
        for other in keys(of: key.model) { revisions[other]?.refs.remove(ref) }
        revisions[key]?.refs.insert(ref)
    }

    /// The differences from another listing, one per line.
    func differences(from other: CatalogListing) -> String {
        var lines = models.subtracting(other.models).map { "+ model \($0)" }
        lines += other.models.subtracting(models).map { "- model \($0)" }
        for key in Set(revisions.keys).union(other.revisions.keys) {
            switch (other.revisions[key], revisions[key]) {
            case (nil, let new?): lines.append("+ \(key) \(new.text)")
            case (let old?, nil): lines.append("- \(key) \(old.text)")
            case (let old?, let new?) where old != new: lines.append("\(key): \(old.text) -> \(new.text)")
            default: break
            }
        }
        return lines.sorted().joined(separator: "\n    ")
    }
}

extension CatalogListing.Revision {
    var text: String {
        "\(version.map { "~\($0)" } ?? "unfinished") refs \(refs.sorted()) \(isPinned ? "pinned " : "")"
            + "origins \(origins.sorted().map { $0.suffix(2) })"
    }
}

/// The facts about shards in the catalog, and the quota.
struct ShardListing {
    /// Those that should have a file.
    var present: Set<ContentDigest> = []
    /// Those whose files are garbage.
    var evicted: Set<ContentDigest> = []
    /// The KV blocks.
    var blocks: Set<ContentDigest> = []
    /// The claims of imports, also of ones that have ended without a revision.
    var claims: Set<Claim> = []
    /// Whether collections keep blobs that have no row.
    var holds = false
    var quota: Int?

    /// A shard that an import keeps from collections while it runs.
    struct Claim: Hashable {
        let shard: ContentDigest
        let lease: String
    }

    init() {}

    init(_ store: Store) throws {
        self = try store.catalog.read { db in
            func digests(_ condition: String) throws -> Set<ContentDigest> {
                Set(try ContentDigest.fetchAll(db, sql: "SELECT digest FROM shard WHERE \(condition)"))
            }
            var listing = ShardListing()
            listing.present = try digests("state = 'present' AND kind <> 'kv'")
            listing.evicted = try digests("state = 'evicted'")
            listing.blocks = try digests("kind = 'kv'")
            let claims = try Row.fetchAll(
                db, sql: "SELECT digest, lease FROM claim JOIN shard ON shard.id = claim.shard_id")
            listing.claims = Set(try claims.map { Claim(shard: try $0.value("digest"), lease: try $0.value("lease")) })
            listing.holds = try RebuildLoss.exists(db)
            listing.quota = try Quota(.weights, db).bytes
            return listing
        }
    }
}

/// The files and shards of a revision, from its manifest.
struct RevisionBytes {
    /// The digest of each file, by path.
    var files: [String: ContentDigest]
    /// The shards, with their sizes.
    var shards: [ContentDigest: Int]
    /// The shards of each file, by its digest; without files whose bytes have not all arrived.
    var parts: [ContentDigest: Set<ContentDigest>]
    /// Whether it is a pull under way: `shards` are then those that have arrived.
    var isPending: Bool

    init(_ manifest: Manifest) {
        files = Dictionary(manifest.files.map { ($0.path, $0.content.digest) }) { first, _ in first }
        isPending = manifest.isPending
        let complete = manifest.files.filter { !$0.content.isPending }
        parts = Dictionary(complete.map { ($0.content.digest, Set($0.content.shards.map(\.digest))) }) { $0.union($1) }
        shards = Dictionary(manifest.files.flatMap(\.content.shards).map { ($0.digest, $0.bytes) }) { first, _ in first
        }
    }
}

extension Store {
    /// Opens a store without a log.
    static func silent(at path: String) throws -> Store {
        let store = try Store(at: path, logger: Logger(label: "weightstore") { _ in SwiftLogNoOpLogHandler() })
        Origins.register(in: store)
        return store
    }

    /// The shards of a revision whose bytes have arrived, with their sizes; some may have been evicted since.
    func arrivedShards(of revision: ContentDigest) throws -> [ContentDigest: Int] {
        try catalog.read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT digest, bytes FROM shard
                    WHERE id IN (
                      SELECT extent.shard_id
                      FROM revision
                      JOIN revision_file ON revision_file.revision_id = revision.id
                      JOIN extent ON extent.file_id = revision_file.file_id
                      WHERE revision.digest = ?)
                    """, arguments: [revision])
            var shards: [ContentDigest: Int] = [:]
            for row in rows {
                let digest: ContentDigest = row["digest"]
                let bytes: Int = row["bytes"]
                shards[digest] = bytes
            }
            return shards
        }
    }
}
