import GRDB
import ModelFormats
import Support

/// The table `tensor`: the tensors in the header of each file. This type makes every change to it.
///
/// Rows are inserted with their file, even if its bytes have not arrived, and never change. A tensor that is not empty
/// starts an extent of its own, so (file_id, offset) finds its shard.
package enum TensorTable {
    /// Inserts the tensors of a file.
    package static func insert(_ tensors: [TensorInfo], of file: Int64, _ db: Database) throws {
        let insert = try db.cachedStatement(
            sql: """
                INSERT INTO tensor (file_id, name, dtype, shape, offset, bytes, stack, layer, expert)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                """)
        for tensor in tensors {
            let place = TensorPlace(tensorName: tensor.name)
            try insert.execute(arguments: [
                file, tensor.name, tensor.dtype, Shape.encode(tensor.shape), tensor.offset, tensor.bytes,
                place.stack, place.layer, place.expert,
            ])
        }
    }

    /// Removes tensors of a file.
    ///
    /// - Parameter limit: the maximal number of rows.
    /// - Returns: how many.
    package static func remove(of file: Int64, limit: Int, _ db: Database) throws -> Int {
        try db.cachedStatement(
            sql: """
                DELETE FROM tensor
                WHERE file_id = :file AND name IN (SELECT name FROM tensor WHERE file_id = :file LIMIT :limit)
                """
        ).execute(arguments: ["file": file, "limit": limit])
        return db.changesCount
    }

    /// The tensors of a file, in file order.
    package static func all(of file: Int64, _ db: Database) throws -> [TensorInfo] {
        try Row.fetchAll(
            db.cachedStatement(sql: "SELECT name, dtype, shape, offset, bytes FROM tensor WHERE file_id = ?"),
            arguments: [file]
        ).map { row in
            try TensorInfo(
                name: row.value("name"), dtype: row.value("dtype"), shape: Shape.decode(row.value("shape")),
                offset: row.size("offset"),
                bytes: row.size("bytes"))
        }.sorted(by: FileLayout.precedes)
    }
}

/// The encoding of the column `tensor.shape`: a JSON array.
enum Shape {
    static func encode(_ shape: [Int]) -> String {
        "[" + shape.map(String.init).joined(separator: ",") + "]"
    }

    static func decode(_ text: String) throws -> [Int] {
        let malformed = DatabaseError.damaged("unexpected value in column shape: \(text.prefix(80))")
        guard let sizes = text.dropping(bytePrefix: "[")?.dropping(byteSuffix: "]") else { throw malformed }
        if sizes.isEmpty { return [] }
        return try sizes.byteParts(",").map { size in
            guard let size = Int(decimal: size) else { throw malformed }
            return size
        }
    }
}
