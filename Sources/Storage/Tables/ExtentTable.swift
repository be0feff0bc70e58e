import GRDB
import ModelFormats

/// The table `extent`: which bytes of which shard each file is made of. This type makes every change to it.
///
/// **The extents of a file cover each of its bytes once**, in order of offset; of a pending file, those bytes that have
/// arrived. What has not arrived has no extent: there is no placeholder that a query could take for a shard. The
/// extents of a shard are made in the transaction that makes the shard present, or finds it so.
package enum ExtentTable {
    /// Makes all extents of a file.
    ///
    /// - Parameter shards: the rows of the content's shards, in their order.
    package static func insert(_ extents: [Extent], of file: Int64, shards: [Int64], _ db: Database) throws {
        let insert = try db.cachedStatement(
            sql: """
                INSERT INTO extent (file_id, offset, length, shard_id, shard_offset) VALUES (?, ?, ?, ?, ?)
                """)
        var offset = 0
        for extent in extents {
            try insert.execute(arguments: [file, offset, extent.length, shards[extent.shard], extent.shardOffset])
            offset += extent.length
        }
    }

    /// Makes the extents of a shard that has arrived of a pending file.
    ///
    /// - Parameter ordinal: the shard's number in the file's plan.
    package static func insert(
        arrived ordinal: Int, of plan: ShardPlan, file: Int64, shard: Int64, _ db: Database
    ) throws {
        let insert = try db.cachedStatement(
            sql: """
                INSERT OR REPLACE INTO extent (file_id, offset, length, shard_id, shard_offset) VALUES (?, ?, ?, ?, ?)
                """)
        for place in plan.places where place.extent.shard == ordinal {
            try insert.execute(arguments: [file, place.offset, place.extent.length, shard, place.extent.shardOffset])
        }
    }

    /// Removes the extents of a file. Shards that nothing references then are the caller's to remove.
    package static func remove(of file: Int64, _ db: Database) throws {
        try db.execute(sql: "DELETE FROM extent WHERE file_id = ?", arguments: [file])
    }

    /// The shards of a file.
    package static func shards(of file: Int64, _ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db.cachedStatement(sql: "SELECT DISTINCT shard_id FROM extent WHERE file_id = ?"), arguments: [file])
    }

    /// Whether a file holds the shard.
    package static func isReferenced(_ shard: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM extent WHERE shard_id = ?)"), arguments: [shard])
    }

    /// Where the extents of a file begin: what has arrived of it.
    package static func offsets(of file: Int64, _ db: Database) throws -> Set<Int> {
        Set(try Int.fetchAll(db.cachedStatement(sql: "SELECT offset FROM extent WHERE file_id = ?"), arguments: [file]))
    }

    package static func contains(_ file: Int64, offset: Int, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM extent WHERE file_id = ? AND offset = ?)"),
            arguments: [file, offset])
    }
}
