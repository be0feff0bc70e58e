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
        // In the order of the primary key: each page of the table is then written once.
        let sorted = tensors.sorted { $0.name.precedes(inBytes: $1.name) }
        try insert.execute(forEach: sorted) { tensor, values in
            let place = TensorPlace(tensorName: tensor.name)
            values.add(file)
            values.add(tensor.name)
            values.add(tensor.dtype)
            values.add(Shape.encode(tensor.shape))
            values.add(tensor.offset)
            values.add(tensor.bytes)
            values.add(place.stack)
            values.add(place.layer)
            values.add(place.expert)
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
        try Row.mapAll(
            db.cachedStatement(sql: "SELECT name, dtype, shape, offset, bytes FROM tensor WHERE file_id = ?"),
            arguments: [file]
        ) { row in
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
        // Most shapes are short enough for a string without memory of its own, unlike an array of their numbers.
        var text = "["
        for (index, size) in shape.enumerated() {
            if index > 0 { text += "," }
            text += String(size)
        }
        return text + "]"
    }

    static func decode(_ text: String) throws -> [Int] {
        var text = text
        guard let shape = text.withUTF8({ parse($0) }) else {
            throw DatabaseError.damaged("unexpected value in column shape: \(text.prefix(80))")
        }
        return shape
    }

    /// Parses the JSON of a shape. It reads bytes, which is fast: a model that is opened decodes the shapes of all its
    /// tensors.
    private static func parse(_ text: UnsafeBufferPointer<UInt8>) -> [Int]? {
        guard text.count >= 2, text.first == UInt8(ascii: "["), text.last == UInt8(ascii: "]") else { return nil }
        if text.count == 2 { return [] }
        var shape: [Int] = []
        shape.reserveCapacity(4)
        var size: Int?
        for byte in text[1..<text.count - 1] {
            if byte == UInt8(ascii: ",") {
                guard let complete = size else { return nil }
                shape.append(complete)
                size = nil
            } else {
                let (tens, overflow) = (size ?? 0).multipliedReportingOverflow(by: 10)
                let (sum, carry) = tens.addingReportingOverflow(Int(byte) - 0x30)
                guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte, !overflow, !carry else { return nil }
                size = sum
            }
        }
        guard let last = size else { return nil }
        shape.append(last)
        return shape
    }
}
