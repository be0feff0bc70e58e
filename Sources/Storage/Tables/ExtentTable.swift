import GRDB
import ModelFormats

/// The table `extent`: the byte ranges of shards that make up each file. This type makes every change to it.
///
/// **The extents of a file cover each of its bytes once**, in order of offset; for a pending file, each byte that has
/// arrived. Bytes that have not arrived have no extent, and there is no placeholder that a query could mistake for a
/// shard. The extents of a shard are inserted in the transaction that makes the shard present or finds it present.
package enum ExtentTable {
    /// Inserts all extents of a file.
    ///
    /// - Parameter shards: the rows of the content's shards, in their order.
    package static func insert(_ extents: [Extent], of file: Int64, shards: [Int64], _ db: Database) throws {
        // FAIL as in `ShardTable.insert`.
        let insert = try db.cachedStatement(
            sql: """
                INSERT OR FAIL INTO extent (file_id, offset, length, shard_id, shard_offset) VALUES (?, ?, ?, ?, ?)
                """)
        var offset = 0
        try insert.execute(forEach: extents) { extent, values in
            values.add(file)
            values.add(offset)
            values.add(extent.length)
            values.add(shards[extent.shard])
            values.add(extent.shardOffset)
            offset += extent.length
        }
    }

    /// The present bytes of a pending file with this digest: the lengths of the extents that have arrived, by offset.
    package static func arrived(of digest: ContentDigest, _ db: Database) throws -> [Int: Int] {
        let rows = try Row.mapAll(
            db,
            sql: """
                SELECT extent.offset, extent.length
                FROM file
                JOIN extent ON extent.file_id = file.id
                JOIN shard ON shard.id = extent.shard_id
                WHERE file.digest = ? AND file.pending AND shard.state = 'present'
                """, arguments: [digest]
        ) { row in
            let (offset, length): (Int, Int) = try (row.value("offset"), row.value("length"))
            return (offset, length)
        }
        // Several pending files may have one digest, cut by different rules.
        return Dictionary(rows) { first, _ in first }
    }

    /// Inserts the extents of a pending file that lie in a shard that has arrived.
    ///
    /// - Parameter ordinal: the shard's number in the file's plan.
    package static func insert(
        arrived ordinal: Int, of plan: ShardPlan, file: Int64, shard: Int64, _ db: Database
    ) throws {
        let insert = try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO extent (file_id, offset, length, shard_id, shard_offset) VALUES (?, ?, ?, ?, ?)
                """)
        for place in plan.places(of: ordinal) {
            try insert.execute(arguments: [file, place.offset, place.extent.length, shard, place.extent.shardOffset])
        }
    }

    /// Removes the extents of a file. The caller removes the shards that lose their last reference.
    package static func remove(of file: Int64, _ db: Database) throws {
        try db.execute(sql: "DELETE FROM extent WHERE file_id = ?", arguments: [file])
    }

    /// Whether the extents of a file are these.
    ///
    /// - Parameter shards: the rows of the content's shards, in their order.
    package static func areExtents(_ extents: [Extent], of file: Int64, shards: [Int64], _ db: Database) throws -> Bool
    {
        let rows = try Row.fetchCursor(
            db.cachedStatement(
                sql: """
                    SELECT offset, length, shard_id, shard_offset FROM extent WHERE file_id = ? ORDER BY offset
                    """),
            arguments: [file])
        var offset = 0
        for extent in extents {
            guard let row = try rows.next(), try row.size("offset") == offset,
                try row.size("length") == extent.length, try row.value("shard_id") == shards[extent.shard],
                try row.size("shard_offset") == extent.shardOffset
            else { return false }
            offset += extent.length
        }
        return try rows.next() == nil
    }

    /// The shards of a file.
    package static func shards(of file: Int64, _ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db.cachedStatement(sql: "SELECT DISTINCT shard_id FROM extent WHERE file_id = ?"), arguments: [file])
    }

    /// An extent, and its shard.
    package struct Entry {
        package let offset: Int
        package let shard: Int64
    }

    /// The extents of a file after an offset, in file order.
    ///
    /// - Parameter limit: the maximal number of rows.
    package static func page(of file: Int64, after offset: Int, limit: Int, _ db: Database) throws -> [Entry] {
        try Row.mapAll(
            db.cachedStatement(
                sql: "SELECT offset, shard_id FROM extent WHERE file_id = ? AND offset > ? ORDER BY offset LIMIT ?"),
            arguments: [file, offset, limit]
        ) { try Entry(offset: $0.size("offset"), shard: $0.value("shard_id")) }
    }

    /// Removes the extents of a file up to an offset, the one there included. The caller removes the shards that lose
    /// their last reference.
    package static func remove(of file: Int64, through offset: Int, _ db: Database) throws {
        try db.cachedStatement(sql: "DELETE FROM extent WHERE file_id = ? AND offset <= ?")
            .execute(arguments: [file, offset])
    }

    /// Whether the file has an extent in the shard after an offset.
    package static func isReferenced(_ shard: Int64, by file: Int64, after offset: Int, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(
                sql: "SELECT EXISTS (SELECT 1 FROM extent WHERE shard_id = ? AND file_id = ? AND offset > ?)"),
            arguments: [shard, file, offset])
    }

    /// The files that have an extent in the shard.
    package static func files(of shard: Int64, _ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db.cachedStatement(sql: "SELECT DISTINCT file_id FROM extent WHERE shard_id = ?"), arguments: [shard])
    }

    /// The bytes of a shard in a file, by offset in the shard.
    ///
    /// - Throws: `DatabaseError.damaged` if they do not lie in the shard.
    package static func pieces(
        of shard: ShardTable.Entry, in file: Int64, _ db: Database
    ) throws -> [(fileOffset: Int, shardOffset: Int, length: Int)] {
        let pieces: [(fileOffset: Int, shardOffset: Int, length: Int)] = try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT offset, shard_offset, length FROM extent
                    WHERE file_id = ? AND shard_id = ?
                    ORDER BY shard_offset
                    """), arguments: [file, shard.id]
        ) { try ($0.size("offset"), $0.size("shard_offset"), $0.size("length")) }
        guard pieces.allSatisfy({ $0.shardOffset + $0.length <= shard.bytes }) else {
            throw DatabaseError.damaged("an extent of file \(file) does not lie in its shard")
        }
        return pieces
    }

    /// Whether a file has an extent in the shard.
    package static func isReferenced(_ shard: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM extent WHERE shard_id = ?)"), arguments: [shard])
    }

    /// The offsets of the extents of a file: the parts that have arrived.
    package static func offsets(of file: Int64, _ db: Database) throws -> Set<Int> {
        Set(try Int.fetchAll(db.cachedStatement(sql: "SELECT offset FROM extent WHERE file_id = ?"), arguments: [file]))
    }

    /// Whether an extent of the file begins at `offset`.
    package static func contains(_ file: Int64, offset: Int, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM extent WHERE file_id = ? AND offset = ?)"),
            arguments: [file, offset])
    }
}
