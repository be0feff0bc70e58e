import GRDB
import ModelFormats
import Support

/// A tensor in the catalog.
public struct TensorEntry: Sendable, Codable {
    /// The name of the tensor.
    public let name: String
    /// The element type as the file spells it: `BF16`, `Q4_K`.
    public let dtype: String
    /// The number of elements along each dimension: outermost first in safetensors, innermost first in GGUF.
    public let shape: [Int]
    /// The size, in bytes.
    public let bytes: Int
    /// The path before the layer's number: `model.layers`; nil outside layers.
    public let stack: String?
    /// The layer's number within its stack; nil outside layers.
    public let layer: Int?
    /// The expert's number; nil unless the tensor belongs to one expert, or is one of the experts that a tensor stacks.
    public let expert: Int?
    /// The path of its file in the revision.
    public let file: String
    /// The position of the first byte in the file.
    public let fileOffset: Int
    /// The shard that holds its bytes; nil if the tensor has no bytes or its bytes have not arrived.
    public let shard: ContentDigest?
    /// The position in the shard, in bytes.
    public let shardOffset: Int
}

extension TensorEntry {
    /// The bytes of an expert in a tensor that stacks all experts of a layer, from the beginning of the tensor
    /// (``ExpertStack``); nil for any other tensor, or if there is no such expert.
    ///
    /// - Parameters:
    ///   - expert: the number of the expert.
    ///   - format: that of the tensor's file, which determines the position of the dimension of experts.
    public func range(ofExpert expert: Int, format: FileFormat) -> Range<Int>? {
        expertStack(format)?.range(of: expert)
    }

    /// The experts that the tensor stacks; nil if it is no such tensor.
    ///
    /// - Parameter format: that of its file, which determines the position of the dimension of experts.
    package func expertStack(_ format: FileFormat) -> ExpertStack? {
        ExpertStack(name: name, shape: shape, bytes: bytes, format: format)
    }

    /// One of the experts that the tensor stacks, as a tensor of the same name.
    ///
    /// - Parameter experts: the result of `expertStack(_:)`.
    /// - Returns: nil if there is no such expert.
    package func part(ofExpert number: Int, in experts: ExpertStack) -> TensorEntry? {
        experts.range(of: number).map { range in
            TensorEntry(
                name: name, dtype: dtype, shape: experts.shape, bytes: range.count, stack: stack, layer: layer,
                expert: number, file: file, fileOffset: fileOffset.adding(saturating: range.lowerBound), shard: shard,
                shardOffset: shardOffset + range.lowerBound)
        }
    }
}

/// A layer in the catalog.
public struct LayerInfo: Sendable, Codable {
    /// The path before the layer's number: `model.layers`.
    public let stack: String
    /// The layer's number within its stack.
    public let number: Int
    /// The number of tensors.
    public let tensors: Int
    /// The total size of the tensors, in bytes.
    public let bytes: Int
}

/// A tensor, and the facts about its shard that are needed to map it.
package struct TensorPlacement {
    package let entry: TensorEntry
    /// The id of the shard's row; nil if the tensor has no bytes or its bytes have not arrived.
    package let shard: Int64?
    package let shardBytes: Int
    package let shardKind: ShardKind?
    package let state: ShardState

    /// Whether its bytes have never arrived.
    package var isPending: Bool { shard == nil && entry.bytes > 0 }

    /// The placement of a tensor of one expert: this one, if it belongs to the expert alone, or the expert's part of a
    /// tensor that stacks experts.
    ///
    /// - Parameter format: that of the tensor's file.
    /// - Returns: nil if the tensor has no bytes of the expert.
    package func part(ofExpert number: Int, format: FileFormat) -> TensorPlacement? {
        if let own = entry.expert { return own == number ? self : nil }
        return entry.expertStack(format).flatMap { entry.part(ofExpert: number, in: $0) }.map { part in
            TensorPlacement(entry: part, shard: shard, shardBytes: shardBytes, shardKind: shardKind, state: state)
        }
    }
}

extension TensorPlacement {
    /// The tensors of a revision, optionally only those of one layer or with one name, sorted by file and name.
    package static func all(
        of revision: Int64, layer: Int? = nil, named name: String? = nil, _ db: Database
    ) throws -> [TensorPlacement] {
        var condition = "tensor.file_id = ?"
        var filters: [DatabaseValue] = []
        if let layer {
            condition += " AND tensor.layer = ?"
            filters.append(layer.databaseValue)
        }
        if let name {
            condition += " AND tensor.name = ?"
            filters.append(name.databaseValue)
        }
        let statement = try db.cachedStatement(
            sql: """
                SELECT tensor.name, tensor.dtype, tensor.shape, tensor.offset, tensor.bytes, tensor.stack, tensor.layer,
                       tensor.expert, shard.digest, extent.shard_offset, shard.id AS shard_id,
                       shard.bytes AS shard_bytes, shard.kind, shard.state
                FROM tensor
                LEFT JOIN extent ON extent.file_id = tensor.file_id AND extent.offset = tensor.offset
                                AND tensor.bytes > 0
                LEFT JOIN shard ON shard.id = extent.shard_id
                WHERE \(condition)
                ORDER BY tensor.name
                """)
        let columns = try Columns(of: statement)
        var places: [TensorPlacement] = []
        var shards: [Int64: Shard] = [:]
        // One query for each file: its path is not read again with each of its tensors.
        for (path, file) in try RevisionRow.files(of: revision, db) {
            let arguments: StatementArguments = StatementArguments([file.databaseValue] + filters)
            let rows = try Row.fetchCursor(statement, arguments: arguments)
            while let row = try rows.next() {
                let placement = try TensorPlacement(row, columns, file: path, &shards)
                // The bytes are read at this place of a mapping, so it must lie in the shard.
                let entry = placement.entry
                guard entry.bytes >= 0,
                    placement.shard == nil
                        || 0...placement.shardBytes ~= entry.shardOffset
                            && entry.bytes <= placement.shardBytes - entry.shardOffset
                else { throw DatabaseError.damaged("tensor \"\(entry.name)\" does not lie in its shard") }
                places.append(placement)
            }
        }
        return places
    }
}

extension TensorPlacement {
    /// The facts about a shard, which are read once for all of its tensors.
    private struct Shard {
        let digest: ContentDigest
        let bytes: Int
        let kind: ShardKind?
        let state: ShardState
    }

    /// The columns of `all`, each found once for all rows. A class: the copies of a structure would be as expensive.
    private final class Columns {
        let name, dtype, shape, offset, bytes, stack, layer, expert, digest, shardOffset: RowColumn
        let shard, shardBytes, kind, state: RowColumn

        init(of rows: Statement) throws {
            name = try rows.column("name")
            dtype = try rows.column("dtype")
            shape = try rows.column("shape")
            offset = try rows.column("offset")
            bytes = try rows.column("bytes")
            stack = try rows.column("stack")
            layer = try rows.column("layer")
            expert = try rows.column("expert")
            digest = try rows.column("digest")
            shardOffset = try rows.column("shard_offset")
            shard = try rows.column("shard_id")
            shardBytes = try rows.column("shard_bytes")
            kind = try rows.column("kind")
            state = try rows.column("state")
        }
    }

    /// - Parameter shards: those of the rows before, by id.
    private init(_ row: Row, _ columns: Columns, file: String, _ shards: inout [Int64: Shard]) throws {
        let id: Int64? = try row.value(columns.shard)
        var found = id.flatMap { shards[$0] }
        if let id, found == nil {
            found = try Self.shard(row, columns)
            shards[id] = found
        }
        entry = try TensorEntry(
            name: row.text(columns.name), dtype: row.text(columns.dtype),
            shape: Shape.decode(row.text(columns.shape)), bytes: row.size(columns.bytes),
            stack: row.value(columns.stack), layer: row.ordinal(columns.layer), expert: row.ordinal(columns.expert),
            file: file, fileOffset: row.size(columns.offset), shard: found?.digest,
            shardOffset: row.size(columns.shardOffset) ?? 0)
        shard = id
        shardBytes = found?.bytes ?? 0
        shardKind = found?.kind
        state = found?.state ?? .present
    }

    private static func shard(_ row: Row, _ columns: Columns) throws -> Shard {
        try Shard(
            digest: row.value(columns.digest), bytes: row.size(columns.shardBytes),
            kind: (row.value(columns.kind) as String?).flatMap(ShardKind.init),
            state: (row.value(columns.state) as String?).flatMap(ShardState.init) ?? .present)
    }
}

/// The tensors of a revision that belong to no layer, such as embeddings.
public struct OutsideLayers: Sendable, Codable {
    /// The number of tensors.
    public let tensors: Int
    /// The total size of the tensors, in bytes.
    public let bytes: Int
}

extension OutsideLayers {
    package static func of(_ revision: Int64, _ db: Database) throws -> OutsideLayers {
        let row = try Row.fetchOne(
            db,
            sql: """
                SELECT count(*) AS tensors, coalesce(sum(tensor.bytes), 0) AS bytes
                FROM revision_file JOIN tensor ON tensor.file_id = revision_file.file_id
                WHERE revision_file.revision_id = ? AND tensor.layer IS NULL
                """, arguments: [revision])
        guard let row else { throw DatabaseError.damaged("a sum has no row") }
        return try OutsideLayers(tensors: row.value("tensors"), bytes: row.value("bytes"))
    }
}

extension LayerInfo {
    /// The layers of a revision, sorted by stack and number.
    package static func all(of revision: Int64, _ db: Database) throws -> [LayerInfo] {
        try Row.mapAll(
            db,
            sql: """
                SELECT tensor.stack, tensor.layer, count(*) AS tensors, sum(tensor.bytes) AS bytes
                FROM revision_file JOIN tensor ON tensor.file_id = revision_file.file_id
                WHERE revision_file.revision_id = ? AND tensor.layer IS NOT NULL
                GROUP BY tensor.stack, tensor.layer
                ORDER BY tensor.stack, tensor.layer
                """, arguments: [revision]
        ) { row in
            try LayerInfo(
                stack: row.value("stack") ?? "", number: row.ordinal("layer"), tensors: row.value("tensors"),
                bytes: row.size("bytes"))
        }
    }
}
