import Foundation
import GRDB
import ModelFormats

/// The rows of a file: `file`, `extent`, `tensor`, and the shards they speak of.
extension FileContent {
    /// - Parameter pendingToo: find it even if its bytes were not compared with its digest, or not all have come.
    /// - Returns: nil if there is no such file.
    package static func find(_ digest: ContentDigest, pendingToo: Bool = false, _ db: Database) throws -> FileContent? {
        guard
            let row = try Row.fetchOne(
                try db.cachedStatement(sql: """
                    SELECT id, bytes, format FROM file WHERE digest = ? AND (NOT pending OR ?)
                    """),
                arguments: [digest, pendingToo])
        else { return nil }
        let id: Int64 = row[0]
        var content = FileContent(
            digest: digest, bytes: row[1], format: FileFormat(rawValue: row[2]) ?? .other,
            shards: [], extents: [], tensors: [])
        var indexes: [Int64: Int] = [:]
        let extents = try Row.fetchCursor(
            try db.cachedStatement(sql: """
                SELECT shard.digest, shard.bytes, shard.kind, shard.layer, shard.head,
                       shard.id, extent.shard_offset, extent.length
                FROM extent JOIN shard ON shard.id = extent.shard_id
                WHERE extent.file_id = ?
                ORDER BY extent.offset
                """),
            arguments: [id])
        while let row = try extents.next() {
            let shard: Int64 = row[5]
            if indexes[shard] == nil {
                indexes[shard] = content.shards.count
                content.shards.append(try ShardFacts(row: row, from: 0))
            }
            content.extents.append(Extent(shard: indexes[shard]!, shardOffset: row[6], length: row[7]))
        }
        content.tensors = try tensors(of: id, db)
        return content
    }

    /// The tensors of a file, in file order.
    package static func tensors(of file: Int64, _ db: Database) throws -> [TensorInfo] {
        try Row.fetchAll(
            try db.cachedStatement(sql: """
                SELECT name, dtype, shape, offset, bytes FROM tensor WHERE file_id = ?
                """),
            arguments: [file]
        ).map { row in
            TensorInfo(name: row[0], dtype: row[1], shape: try Shape.decode(row[2]), offset: row[3], bytes: row[4])
        }.sorted { ($0.offset, $0.name) < ($1.offset, $1.name) }
    }

    /// Makes the rows, unless the file has them.
    ///
    /// - Returns: the id of the file's row, and those of the shards.
    package func save(_ db: Database) throws -> (file: Int64, shards: [Int64]) {
        let shardIDs = try shards.map { facts in
            guard let row = try ShardRow.find(facts.digest, db), row.state == .present || row.state == .evicted else {
                throw StorageError.missing(path: facts.digest.hex, digest: facts.digest)
            }
            return row.id
        }
        return (try save(shardIDs, db), shardIDs)
    }

    /// Makes the rows, unless the file has them, with shards whose rows have the given ids.
    package func save(_ shardIDs: [Int64], _ db: Database) throws -> Int64 {
        let known = try db.cachedStatement(sql: "SELECT id, pending FROM file WHERE digest = ?")
        if let row = try Row.fetchOne(known, arguments: [digest]) {
            if !isPending, row[1] {
                // What an origin was to give has come by another way.
                try db.execute(sql: "DELETE FROM extent WHERE file_id = ?", arguments: [row[0] as Int64])
                try insertExtents(row[0], shardIDs, db)
                try db.execute(sql: "UPDATE file SET pending = 0 WHERE id = ?", arguments: [row[0] as Int64])
            }
            return row[0]
        }
        try db.execute(
            sql: "INSERT INTO file (digest, bytes, format, pending) VALUES (?, ?, ?, ?)",
            arguments: [digest, bytes, format.rawValue, isPending])
        let id = db.lastInsertedRowID
        try insertExtents(id, shardIDs, db)
        let insertTensor = try db.cachedStatement(sql: """
            INSERT INTO tensor (file_id, name, dtype, shape, offset, bytes, stack, layer, expert)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """)
        for tensor in tensors {
            let place = TensorPlace(tensorName: tensor.name)
            try insertTensor.execute(arguments: [
                id, tensor.name, tensor.dtype, Shape.encode(tensor.shape), tensor.offset, tensor.bytes,
                place.stack, place.layer, place.expert,
            ])
        }
        return id
    }

    private func insertExtents(_ id: Int64, _ shardIDs: [Int64], _ db: Database) throws {
        let insertExtent = try db.cachedStatement(sql: """
            INSERT INTO extent (file_id, offset, length, shard_id, shard_offset) VALUES (?, ?, ?, ?, ?)
            """)
        var offset = 0
        for extent in extents {
            try insertExtent.execute(arguments: [
                id, offset, extent.length, shardIDs[extent.shard], extent.shardOffset,
            ])
            offset += extent.length
        }
    }
}

/// A shape as the column `tensor.shape` has it: a JSON array.
enum Shape {
    package static func encode(_ shape: [Int]) -> String {
        "[" + shape.map(String.init).joined(separator: ",") + "]"
    }

    package static func decode(_ text: String) throws -> [Int] {
        try text.dropFirst().dropLast().split(separator: ",").map { number in
            guard let number = Int(number) else {
                throw StorageError.invalid(what: "shape", value: text, reason: "the catalog holds no such")
            }
            return number
        }
    }
}
