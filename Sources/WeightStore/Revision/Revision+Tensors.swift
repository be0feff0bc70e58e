import GRDB
import Storage

extension Revision {
    /// All tensors, or those of one layer, or of one name: by file and name. Nothing is mapped.
    public func tensorEntries(layer: Int? = nil, named name: String? = nil) throws -> [TensorEntry] {
        try places(layer: layer, named: name).map(\.entry)
    }

    /// One tensor, mapped.
    ///
    /// - Parameter file: which file's, if several of them have a tensor of that name; nil takes the first by path.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``; ``StorageError/missing(path:digest:)`` or
    ///   ``StorageError/damaged(path:digest:expected:found:)`` if the shard can't be had.
    public func tensor(_ name: String, in file: String? = nil) throws -> Tensor {
        let rows = try fetchedPlaces(named: name) { file == nil || $0.entry.file == file }
        guard let tensor = try map(Array(rows.prefix(1))).first else {
            throw StorageError.notFound(kind: "tensor", name: name)
        }
        return tensor
    }

    /// A layer, mapped: the tensors with that number, of every stack (a vision tower has a layer 3, too).
    ///
    /// - Parameter stack: only those of this one, such as `model.layers`.
    public func layer(_ number: Int, of stack: String? = nil) throws -> Layer {
        let rows = try fetchedPlaces(layer: number) { stack == nil || $0.entry.stack == stack }
        guard !rows.isEmpty else {
            throw StorageError.notFound(
                kind: "layer", name: "\(name) layer \(number)")
        }
        return Layer(number: number, tensors: try map(rows))
    }

    /// The layers, by stack and number.
    public func layers() throws -> [LayerInfo] {
        try store.catalog.read { db in try LayerInfo.all(of: id, db) }
    }

    func places(layer: Int? = nil, named name: String? = nil) throws -> [TensorPlacement] {
        try store.catalog.read { db in try TensorPlacement.all(of: id, layer: layer, named: name, db) }
    }

    /// Maps each shard once, and counts the access.
    private func map(_ rows: [TensorPlacement]) throws -> [Tensor] {
        var blobs: [ContentDigest: MappedBlob] = [:]
        let tensors = try rows.map { row in
            guard let digest = row.entry.shard else {
                return Tensor(entry: row.entry, bytes: MappedBytes(blob: .empty, range: 0..<0))
            }
            let blob = try blobs[digest] ?? store.map(digest, bytes: row.shardBytes, state: row.state, store.misses)
            blobs[digest] = blob
            let range = row.entry.shardOffset..<row.entry.shardOffset + row.entry.bytes
            return Tensor(entry: row.entry, bytes: MappedBytes(blob: blob, range: range))
        }
        store.accesses.shards(Set(rows.compactMap(\.shard)))
        return tensors
    }
}
