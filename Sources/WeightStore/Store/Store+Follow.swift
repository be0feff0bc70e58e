import GRDB
import Storage

extension Store {
    /// Makes a revision known whose shards an origin holds under their digests. Nothing travels, and no ref moves.
    ///
    /// - Parameter version: the number that it is to have here, unless another revision has it.
    package func expect(_ shards: RevisionShards, model: String, version: Int?, origin url: String, refs: [String] = [])
        throws
    {
        let change = change()
        let staged = try change.stage()
        _ = try staged.writeWhole(shards.text)
        try change.commit { db in
            try blobs.install([(staged.path, .init(digest: shards.digest, kind: .manifest))])
            for facts in shards.manifest.files.flatMap(\.content.shards) { try ShardTable.expect(facts, db) }
            let saved = try RevisionRow.save(
                shards.manifest, digest: shards.digest, model: model, source: url, refs: refs,
                origins: try PullRequest.origins(of: model, with: url, db), partial: false, lease: leases.name,
                version: version, db)
            return ((), [saved.model])
        }
    }

    /// The shards of a revision that are not here.
    package func missing(of shards: RevisionShards) throws -> [ContentDigest: Int] {
        try catalog.read { db in try shards.shards.filter { try ShardTable.find($0.key, db)?.state != .present } }
    }

    /// What a manifest of this store says, by its digest; nil if no revision has it.
    package func shards(of manifest: ContentDigest) throws -> RevisionShards? {
        guard let stored = try self.manifest(manifest) else { return nil }
        return try RevisionShards(try stored.all(), digest: manifest, origin: path)
    }

    /// Which revisions of a model the refs name.
    package func refs(of model: String) throws -> [String: ContentDigest] {
        try catalog.read { db in
            try ModelTable.find(model, db).map { try RefTable.targets(of: $0, db) } ?? [:]
        }
    }

    /// Lets several refs of a model name revisions, all at once.
    package func setRefs(_ refs: [String: ContentDigest], of model: String) throws {
        try change().commit { db in
            var id: Int64?
            for (ref, digest) in refs {
                let row = try RevisionRow.find("\(model)@\(digest.hex)", db)
                try RefTable.set(try RefName.check(ref), of: row.model, to: row.id, db)
                id = row.model
            }
            return ((), id.map { [$0] } ?? [])
        }
    }
}
