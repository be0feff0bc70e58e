import GRDB
import ModelFormats
import Storage
import Support

extension Store {
    /// The bytes of the store by model, layer and shard, each shard once.
    ///
    /// A map of a million shards takes seconds. A map of one model reads the shards of this model alone.
    ///
    /// - Parameters:
    ///   - model: only shards that this model contains, in groups with the other models that contain them, too.
    ///   - depth: how far the map is divided.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` for an unknown model.
    public func diskMap(of model: String? = nil, depth: DiskMap.Depth = .layers) throws -> DiskMap {
        try catalog.read { db in
            var builder = DiskMapBuilder(depth: depth, names: try DiskMapBuilder.names(db))
            if let model, !builder.names.values.contains(model) {
                throw StorageError.notFound(kind: "model", name: model)
            }
            try builder.add(of: model, db)
            return DiskMap(
                depth: depth, groups: builder.sortedGroups(),
                kvBytes: model == nil ? try Totals.bytes(.kv, db) : 0)
        }
    }

    /// What the shards of a layer hold, by their digests: the names of their tensors, or the path of a file without tensors.
    ///
    /// - Parameters:
    ///   - layer: nil for the shards outside layers.
    ///   - limit: the most versions that are read, the newest ones.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` for an unknown model.
    package func contents(
        ofLayer layer: Int?, of model: String, versions limit: Int = 20
    ) throws -> [ContentDigest: [String]] {
        let rows = try catalog.read { db in
            try RevisionRow.all(of: try ModelTable.id(of: model, db), db)
                .sorted { ($0.version ?? .max) > ($1.version ?? .max) }.prefix(limit)
        }
        var names: [ContentDigest: [String]] = [:]
        for row in rows {
            let placements = try catalog.read { db in try TensorPlacement.all(of: row.id, layer: layer, db) }
            var found: [ContentDigest: [String]] = [:]
            for entry in placements.map(\.entry) where entry.layer == layer {
                if let shard = entry.shard { found[shard, default: []].append(entry.name) }
            }
            names.merge(found) { known, _ in known }
            if layer == nil {
                for file in try heldRevision(row.name).entries() where names[file.digest] == nil {
                    names[file.digest] = [file.path]
                }
            }
        }
        return names
    }
}
