import GRDB
import Storage

extension Store {
    /// Adds a revision whose shards an origin holds under their digests. Fetches nothing. The origin counts as checked:
    /// its manifest, or its version map, names the revision.
    ///
    /// - Parameters:
    ///   - version: the number to give it, unless another revision of the model has it.
    ///   - refs: the refs to set to it.
    package func expect(_ shards: RevisionShards, model: String, version: Int?, origin url: String, refs: [String] = [])
        throws
    {
        let change = change()
        let staged = try change.stage()
        _ = try staged.writeWhole(shards.text)
        try change.commit { db in
            try blobs.install([(staged, .init(digest: shards.digest, kind: .manifest))])
            for facts in shards.manifest.files.flatMap(\.content.shards) { try ShardTable.expect(facts, db) }
            let saved = try RevisionRow.save(
                shards.manifest, digest: shards.digest, model: model, source: url, refs: refs,
                origins: [url], partial: false, lease: leases.name, version: version, db)
            return ((), [saved.model])
        }
    }

    /// The shards of a revision that are not present, with their sizes in bytes.
    package func missing(of shards: RevisionShards) throws -> [ContentDigest: Int] {
        try catalog.read { db in try shards.shards.filter { try ShardTable.find($0.key, db)?.state != .present } }
    }

    /// The shards that a manifest of this store names; nil if no revision has that digest.
    package func shards(of manifest: ContentDigest) throws -> RevisionShards? {
        guard let stored = try self.manifest(manifest) else { return nil }
        return try RevisionShards(try stored.all(), digest: manifest, origin: path)
    }

    /// The refs of a model, with the digests of the revisions that they name; empty for an unknown model.
    package func refs(of model: String) throws -> [String: ContentDigest] {
        try catalog.read { db in
            try ModelTable.find(model, db).map { try RefTable.targets(of: $0, db) } ?? [:]
        }
    }

    /// The time since a ref was set; nil if there is no such ref.
    package func timeSinceChange(of ref: String, model: String) throws -> Duration? {
        try catalog.read { db in try RefTable.updatedAt(ref, of: model, db) }.map {
            .seconds(max(StoreClock.now.subtracting(saturating: $0), 0))
        }
    }

    /// Sets several refs of a model, which another store or a bucket holds, in one transaction.
    package func setRefs(_ refs: [String: ContentDigest], of model: String) throws {
        try change().commit { db in
            var id: Int64?
            for (ref, digest) in refs {
                let row = try RevisionRow.find("\(model)@\(digest.hex)", db)
                try RefTable.move(try RefName.checkStored(ref), of: row.model, to: row.id, db)
                id = row.model
            }
            return ((), id.map { [$0] } ?? [])
        }
    }
}
