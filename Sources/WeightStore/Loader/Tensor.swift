import GRDB
import ModelFormats

/// What the catalog knows about a tensor.
public struct TensorEntry: Sendable, Codable {
    public let name: String
    /// As the file spells it: `BF16`, `Q4_K`.
    public let dtype: String
    /// As the file gives it: row-major in safetensors, innermost first in GGUF.
    public let shape: [Int]
    public let bytes: Int
    /// The path up to the layer's number: `model.layers`.
    public let stack: String?
    public let layer: Int?
    public let expert: Int?
    /// The file of the revision that holds it.
    public let file: String
    /// The shard that holds its bytes; nil for a tensor of zero bytes.
    public let shard: Digest?
    /// Where in the shard, in bytes.
    public let shardOffset: Int
}

/// A tensor whose bytes are mapped.
public struct Tensor: Sendable {
    public let entry: TensorEntry
    public let bytes: MappedBytes
}

/// What the catalog knows about a layer.
public struct LayerInfo: Sendable, Codable {
    /// The path up to the layer's number: `model.layers`.
    public let stack: String
    public let number: Int
    public let tensors: Int
    /// The sum of the tensors' bytes.
    public let bytes: Int
}

/// The tensors of one transformer block.
public struct Layer: Sendable {
    public let number: Int
    /// By name.
    public let tensors: [Tensor]

    /// The sum of the tensors' bytes.
    public var bytes: Int { tensors.reduce(0) { $0 + $1.entry.bytes } }
}

/// A tensor, and what must be known of its shard to map it.
struct PlaceInShard {
    let entry: TensorEntry
    /// The shard's row; nil for a tensor of zero bytes.
    let shard: Int64?
    let shardBytes: Int
    let state: ShardState

    /// Its bytes have never come.
    var isPending: Bool { shard == nil && entry.bytes > 0 }
}

extension Revision {
    /// All tensors, or those of one layer, or of one name: by file and name. Nothing is mapped.
    public func tensorEntries(layer: Int? = nil, named name: String? = nil) throws -> [TensorEntry] {
        try places(layer: layer, named: name).map(\.entry)
    }

    /// One tensor, mapped.
    ///
    /// - Parameter file: which file's, if several of them have a tensor of that name; nil takes the first by path.
    /// - Throws: ``StoreError/notFound(kind:name:hint:)``; ``StoreError/missing(path:digest:)`` or
    ///   ``StoreError/damaged(path:digest:expected:found:)`` if the shard can't be had.
    public func tensor(_ name: String, in file: String? = nil) throws -> Tensor {
        let rows = try fetchedPlaces(named: name) { file == nil || $0.entry.file == file }
        guard let row = rows.first else {
            throw StoreError.notFound(
                kind: "tensor", name: name, hint: "\"weightstore tensors \(model)\" lists them.")
        }
        return try map([row])[0]
    }

    /// A layer, mapped: the tensors with that number, of every stack (a vision tower has a layer 3, too).
    ///
    /// - Parameter stack: only those of this one, such as `model.layers`.
    public func layer(_ number: Int, of stack: String? = nil) throws -> Layer {
        let rows = try fetchedPlaces(layer: number) { stack == nil || $0.entry.stack == stack }
        guard !rows.isEmpty else {
            throw StoreError.notFound(
                kind: "layer", name: "\(name) layer \(number)", hint: "\"weightstore show \(name)\" lists them.")
        }
        return Layer(number: number, tensors: try map(rows))
    }

    /// The layers, by stack and number.
    public func layers() throws -> [LayerInfo] {
        try store.catalog.read { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT tensor.stack, tensor.layer, count(*), sum(tensor.bytes)
                    FROM revision_file JOIN tensor ON tensor.file_id = revision_file.file_id
                    WHERE revision_file.revision_id = ? AND tensor.layer IS NOT NULL
                    GROUP BY tensor.stack, tensor.layer
                    ORDER BY tensor.stack, tensor.layer
                    """, arguments: [id])
        }.map { LayerInfo(stack: $0[0] ?? "", number: $0[1], tensors: $0[2], bytes: $0[3]) }
    }

    func places(layer: Int? = nil, named name: String? = nil) throws -> [PlaceInShard] {
        var condition = "revision_file.revision_id = ?"
        var arguments: StatementArguments = [id]
        if let layer {
            condition += " AND tensor.layer = ?"
            arguments += [layer]
        }
        if let name {
            condition += " AND tensor.name = ?"
            arguments += [name]
        }
        return try store.catalog.read { db in
            try Row.fetchAll(
                try db.cachedStatement(sql: """
                    SELECT tensor.name, tensor.dtype, tensor.shape, tensor.bytes, tensor.stack, tensor.layer,
                           tensor.expert, revision_file.path, shard.digest, extent.shard_offset,
                           shard.id, shard.bytes, shard.state
                    FROM revision_file
                    JOIN tensor ON tensor.file_id = revision_file.file_id
                    LEFT JOIN extent ON extent.file_id = tensor.file_id AND extent.offset = tensor.offset
                                    AND tensor.bytes > 0
                    LEFT JOIN shard ON shard.id = extent.shard_id
                    WHERE \(condition)
                    ORDER BY revision_file.path, tensor.name
                    """),
                arguments: arguments)
        }.map { row in
            PlaceInShard(
                entry: TensorEntry(
                    name: row[0], dtype: row[1], shape: try Shape.decode(row[2]), bytes: row[3], stack: row[4],
                    layer: row[5], expert: row[6], file: row[7], shard: row[8], shardOffset: row[9] ?? 0),
                shard: row[10], shardBytes: row[11] ?? 0,
                state: (row[12] as String?).flatMap(ShardState.init) ?? .present)
        }
    }

    /// Maps each shard once, and counts the access.
    private func map(_ rows: [PlaceInShard]) throws -> [Tensor] {
        var blobs: [Digest: MappedBlob] = [:]
        let tensors = try rows.map { row in
            guard let digest = row.entry.shard else {
                return Tensor(entry: row.entry, bytes: MappedBytes(blob: .empty, range: 0..<0))
            }
            let blob = try blobs[digest] ?? store.map(digest, bytes: row.shardBytes, state: row.state)
            blobs[digest] = blob
            let range = row.entry.shardOffset..<row.entry.shardOffset + row.entry.bytes
            return Tensor(entry: row.entry, bytes: MappedBytes(blob: blob, range: range))
        }
        store.accesses.shards(Set(rows.compactMap(\.shard)))
        return tensors
    }
}

extension Store {
    /// Maps a shard, which is fetched if it is not there.
    func map(_ digest: Digest, bytes: Int, state: ShardState = .present) throws -> MappedBlob {
        let path = blobs.path(digest)
        do {
            guard state == .present else { throw StoreError.missing(path: path, digest: digest) }
            return try MappedBlob(path: path, digest: digest, bytes: bytes)
        } catch let error as StoreError {
            guard case .missing = error else { throw error }
            try bringBack(digest, after: error)
            return try MappedBlob(path: path, digest: digest, bytes: bytes)
        }
    }
}
