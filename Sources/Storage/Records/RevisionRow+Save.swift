import GRDB
import ModelFormats

/// The transaction that inserts a revision.
extension RevisionRow {
    /// The saved revision.
    package struct Saved {
        package var id: Int64
        package var model: Int64
        package var version: Int?
        package var wasKnown: Bool
        /// The manifests of unfinished revisions that this one replaces, which the caller sweeps.
        package var replaced: [ContentDigest]
    }

    /// Inserts the rows of a revision whose shards are all present or evicted, and sets the refs to it.
    ///
    /// - Parameters:
    ///   - partial: whether more files follow: then the revision has no version yet.
    ///   - lease: the lease whose claims on the shards are released.
    ///   - origins: URLs of origins, the nearest first. Each counts as checked: it was seen to hold the revision, or
    ///     the user vouches for it.
    ///   - replacesOrigins: whether `origins` replace those that the revision has; if not, they are added behind them.
    ///   - wanted: the version of the revision; the next free one if it is nil or another revision has it.
    package static func save(
        _ manifest: Manifest, digest: ContentDigest, model name: String, source: String, refs: [String],
        origins: [String], replacesOrigins: Bool = false, partial: Bool, lease: String, version wanted: Int? = nil,
        _ db: Database
    ) throws -> Saved {
        let model = try ModelTable.add(name, db)
        let known = try RevisionTable.find(digest, of: model, db)
        var version = known?.version
        if !partial && version == nil { version = try ModelTable.nextVersion(of: model, wanted: wanted, db) }
        let id: Int64
        func setOrigins(_ id: Int64) throws {
            let now = StoreClock.now
            // A directory that holds this revision may have held another one before.
            for url in origins where url.hasPrefix("file:") { try OriginTable.forgetChecks(of: url, except: id, db) }
            if replacesOrigins, !origins.isEmpty {
                return try OriginTable.set(origins.map { OriginEntry(url: $0, checkedAt: now) }, of: id, db)
            }
            for url in origins { try OriginTable.append(url, to: id, checkedAt: now, db) }
        }
        if let known {
            id = known.id
            try RevisionTable.setVersion(version, of: id, db)
            try setOrigins(id)
        } else {
            id = try RevisionTable.insert(
                manifest, digest: digest, model: model, version: version, source: source, createdAt: StoreClock.now, db)
            // Before the files: the triggers then know that the revision has an origin.
            try setOrigins(id)
            var shards: Set<Int64> = []
            for file in manifest.files {
                let saved = try file.content.save(db)
                shards.formUnion(saved.shards)
                try RevisionTable.link(id, file.path, saved.file, db)
            }
            try ShardTable.adopt(shards, db)
        }
        let replaced = try RevisionTable.removeUnfinished(of: model, source: source, replacedBy: id, db)
        for ref in refs { try RefTable.move(ref, of: model, to: id, db) }
        try ClaimTable.release(lease, db)
        return Saved(
            id: id, model: model, version: version, wasKnown: known?.version != nil, replaced: replaced)
    }

    /// The files of a revision, by path: row ids.
    package static func files(of revision: Int64, _ db: Database) throws -> [(path: String, file: Int64)] {
        try Row.mapAll(
            db, sql: "SELECT path, file_id FROM revision_file WHERE revision_id = ? ORDER BY path",
            arguments: [revision]
        ) { try ($0.path("path"), $0.value("file_id")) }
    }
}
