import GRDB

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
    public let shard: ContentDigest?
    /// Where in the shard, in bytes.
    public let shardOffset: Int
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

/// A tensor, and what must be known of its shard to map it.
package struct TensorPlacement {
    package let entry: TensorEntry
    /// The shard's row; nil for a tensor of zero bytes.
    package let shard: Int64?
    package let shardBytes: Int
    package let state: ShardState

    /// Its bytes have never come.
    package var isPending: Bool { shard == nil && entry.bytes > 0 }
}

extension TensorPlacement {
    /// The tensors of a revision, or those of one layer, or of one name: by file and name.
    package static func all(
        of revision: Int64, layer: Int? = nil, named name: String? = nil, _ db: Database
    ) throws -> [TensorPlacement] {
        var condition = "revision_file.revision_id = ?"
        var arguments: StatementArguments = [revision]
        if let layer {
            condition += " AND tensor.layer = ?"
            arguments += [layer]
        }
        if let name {
            condition += " AND tensor.name = ?"
            arguments += [name]
        }
        return try Row.fetchAll(
            try db.cachedStatement(
                sql: """
                    SELECT tensor.name, tensor.dtype, tensor.shape, tensor.bytes, tensor.stack, tensor.layer,
                           tensor.expert, revision_file.path, shard.digest, extent.shard_offset,
                           shard.id AS shard_id, shard.bytes AS shard_bytes, shard.state
                    FROM revision_file
                    JOIN tensor ON tensor.file_id = revision_file.file_id
                    LEFT JOIN extent ON extent.file_id = tensor.file_id AND extent.offset = tensor.offset
                                    AND tensor.bytes > 0
                    LEFT JOIN shard ON shard.id = extent.shard_id
                    WHERE \(condition)
                    ORDER BY revision_file.path, tensor.name
                    """),
            arguments: arguments
        ).map { row in
            TensorPlacement(
                entry: TensorEntry(
                    name: row["name"], dtype: row["dtype"], shape: try Shape.decode(row["shape"]), bytes: row["bytes"],
                    stack: row["stack"], layer: row["layer"], expert: row["expert"], file: row["path"],
                    shard: row["digest"], shardOffset: row["shard_offset"] ?? 0),
                shard: row["shard_id"], shardBytes: row["shard_bytes"] ?? 0,
                state: (row["state"] as String?).flatMap(ShardState.init) ?? .present)
        }
    }
}

extension LayerInfo {
    /// The layers of a revision, by stack and number.
    package static func all(of revision: Int64, _ db: Database) throws -> [LayerInfo] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT tensor.stack, tensor.layer, count(*) AS tensors, sum(tensor.bytes) AS bytes
                FROM revision_file JOIN tensor ON tensor.file_id = revision_file.file_id
                WHERE revision_file.revision_id = ? AND tensor.layer IS NOT NULL
                GROUP BY tensor.stack, tensor.layer
                ORDER BY tensor.stack, tensor.layer
                """, arguments: [revision]
        ).map { row in
            LayerInfo(stack: row["stack"] ?? "", number: row["layer"], tensors: row["tensors"], bytes: row["bytes"])
        }
    }
}
