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
}
