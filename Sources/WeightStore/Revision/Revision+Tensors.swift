import GRDB
import ModelFormats
import Storage
import Support

extension Revision {
    /// The entries of all tensors, or of those of one layer or name, sorted by file and name. Maps nothing.
    public func tensorEntries(layer: Int? = nil, named name: String? = nil) throws -> [TensorEntry] {
        try places(layer: layer, named: name).map(\.entry)
    }

    /// Maps one tensor.
    ///
    /// - Parameters:
    ///   - name: the name of the tensor in its file.
    ///   - file: the path of its file; nil means the first file, by path, that has a tensor of that name.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``; ``StorageError/missing(path:digest:)`` or
    ///   ``StorageError/damaged(path:digest:expected:found:)`` if its shard is not available.
    public func tensor(_ name: String, in file: String? = nil) throws -> Tensor {
        let rows = try fetchedPlaces(named: name) { place in
            file.map { ByteText($0) == ByteText(place.entry.file) } ?? true
        }
        guard let tensor = try map(Array(rows.prefix(1))).first else {
            throw StorageError.notFound(kind: "tensor", name: "\(self.name) \(name)")
        }
        return tensor
    }

    /// Maps a layer: the tensors with that number, of every stack (a vision tower may have a layer 3, too). Throws as
    /// ``tensor(_:in:)``.
    ///
    /// - Parameters:
    ///   - number: the number of the layer.
    ///   - stack: maps only the tensors of this stack, such as `model.layers`.
    public func layer(_ number: Int, of stack: String? = nil) throws -> Layer {
        let rows = try fetchedPlaces(layer: number) { place in
            stack.map { ByteText($0) == place.entry.stack.map { ByteText($0) } } ?? true
        }
        guard !rows.isEmpty else {
            throw StorageError.notFound(
                kind: "layer", name: "\(name) layer \(number)")
        }
        return Layer(number: number, tensors: try map(rows))
    }

    /// Maps the tensors of one expert of a layer, sorted by file and name. Throws as ``tensor(_:in:)``.
    ///
    /// Of a tensor that stacks all experts of a layer, the expert is a tensor of the same name, without the dimension
    /// of experts. Only the pages that are read are loaded; bytes that were never fetched, or were evicted, are fetched
    /// for the whole stack.
    ///
    /// - Parameters:
    ///   - number: the number of the expert.
    ///   - layer: the number of the layer.
    public func expert(_ number: Int, ofLayer layer: Int) throws -> [Tensor] {
        let formats = try formats()
        func part(_ place: TensorPlacement) -> TensorPlacement? {
            place.part(ofExpert: number, format: formats[ByteText(place.entry.file)] ?? .other)
        }
        let rows = try fetchedPlaces(layer: layer) { part($0) != nil }.compactMap(part)
        guard !rows.isEmpty else {
            throw StorageError.notFound(kind: "expert", name: "\(name) layer \(layer) expert \(number)")
        }
        return try map(rows)
    }

    /// The layers, sorted by stack and number.
    public func layers() throws -> [LayerInfo] {
        try store.catalog.read { db in try LayerInfo.all(of: id, db) }
    }

    /// The tensors that belong to no layer, such as embeddings.
    public func outsideLayers() throws -> OutsideLayers {
        try store.catalog.read { db in try OutsideLayers.of(id, db) }
    }

    /// The formats of the files, by path.
    func formats() throws -> [ByteText: FileFormat] {
        let formats = try entries().map { (ByteText($0.path), FileFormat(rawValue: $0.format) ?? .other) }
        return Dictionary(formats) { first, _ in first }
    }

    func places(layer: Int? = nil, named name: String? = nil) throws -> [TensorPlacement] {
        try store.catalog.read { db in try TensorPlacement.all(of: id, layer: layer, named: name, db) }
    }

    /// Maps each shard once, and counts the access.
    private func map(_ rows: [TensorPlacement]) throws -> [Tensor] {
        let absent = rows.filter { $0.state != .present }.compactMap(\.entry.shard)
        // Those without a result are fetched below, which also reports why they fail.
        if absent.count > 1 { _ = try GroupFetch(store: store, onUse: true, work: store.missWork).run(absent) }
        var blobs: [ContentDigest: MappedBlob] = [:]
        let tensors = try rows.map { row in
            guard let digest = row.entry.shard else {
                return Tensor(entry: row.entry, bytes: MappedBytes(blob: .empty, range: 0..<0))
            }
            let blob = try blobs[digest] ?? store.map(digest, bytes: row.shardBytes, state: row.state, store.missWork)
            blobs[digest] = blob
            let range = row.entry.shardOffset..<row.entry.shardOffset + row.entry.bytes
            return Tensor(entry: row.entry, bytes: MappedBytes(blob: blob, range: range))
        }
        store.accesses.shards(Set(rows.compactMap(\.shard)))
        return tensors
    }
}
