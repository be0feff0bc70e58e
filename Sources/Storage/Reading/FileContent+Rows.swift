import GRDB
import ModelFormats

/// A file's content and its rows in `file`, `extent`, `tensor` and `shard`.
extension FileContent {
    /// - Parameter pendingToo: find it even if its bytes were not compared with its digest, or not all have arrived.
    /// - Returns: nil if there is no such file.
    package static func find(_ digest: ContentDigest, pendingToo: Bool = false, _ db: Database) throws -> FileContent? {
        guard let file = try FileTable.find(digest, db), pendingToo || !file.isPending else { return nil }
        var content = FileContent(
            digest: digest, bytes: file.bytes, format: file.format, shards: [], extents: [], tensors: [])
        var indexes: [Int64: Int] = [:]
        let extents = try Row.fetchCursor(
            db.cachedStatement(
                sql: """
                    SELECT shard.digest, shard.bytes, shard.kind, shard.layer, shard.head, shard.id,
                           extent.shard_offset, extent.length
                    FROM extent JOIN shard ON shard.id = extent.shard_id
                    WHERE extent.file_id = ?
                    ORDER BY extent.offset
                    """),
            arguments: [file.id])
        while let row = try extents.next() {
            let shard: Int64 = row["id"]
            let index: Int
            if let known = indexes[shard] {
                index = known
            } else {
                index = content.shards.count
                indexes[shard] = index
                content.shards.append(try ShardFacts(row))
            }
            content.extents.append(Extent(shard: index, shardOffset: row["shard_offset"], length: row["length"]))
        }
        content.tensors = try TensorTable.all(of: file.id, db)
        return content
    }

    /// What is known of a file whose bytes have not all arrived.
    ///
    /// - Returns: nil if there is no such file, or it is whole.
    package static func findPending(_ digest: ContentDigest, _ db: Database) throws -> FileContent? {
        guard let file = try FileTable.find(digest, db), file.isPending else { return nil }
        return FileContent(
            digest: digest, bytes: file.bytes, format: file.format, shards: [], extents: [],
            tensors: try TensorTable.all(of: file.id, db), isPending: true)
    }

    /// Makes the rows, unless the file has them.
    ///
    /// - Returns: the id of the file's row, and those of the shards.
    /// - Throws: ``StorageError/missing(path:digest:)`` if a shard is neither present nor evicted.
    package func save(_ db: Database) throws -> (file: Int64, shards: [Int64]) {
        let shardIDs = try shards.map { facts in
            guard let shard = try ShardTable.find(facts.digest, db), shard.state == .present || shard.state == .evicted
            else { throw StorageError.missing(path: facts.digest.hex, digest: facts.digest) }
            return shard.id
        }
        return (try save(shardIDs, db), shardIDs)
    }

    /// Makes the rows, unless the file has them, with shards whose rows have the given ids.
    package func save(_ shardIDs: [Int64], _ db: Database) throws -> Int64 {
        if let known = try FileTable.find(digest, db) {
            if !isPending, known.isPending {
                // What an origin was to give has arrived by another way.
                try ExtentTable.remove(of: known.id, db)
                try ExtentTable.insert(extents, of: known.id, shards: shardIDs, db)
                try FileTable.markWhole(known.id, db)
            }
            return known.id
        }
        let id = try FileTable.insert(self, db)
        try ExtentTable.insert(extents, of: id, shards: shardIDs, db)
        try TensorTable.insert(tensors, of: id, db)
        return id
    }
}
