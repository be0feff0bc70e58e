import GRDB

/// A KV block's shard, as a tier asks for it.
package struct KVShard: Sendable {
    package let digest: ContentDigest
    /// Of the blob.
    package let bytes: Int
    /// How many blocks come before it.
    package let depth: Int

    package init(digest: ContentDigest, bytes: Int, depth: Int) {
        self.digest = digest
        self.bytes = bytes
        self.depth = depth
    }
}

/// The tables `kv_space` and `kv_block`. This type makes every change to them.
///
/// **A block is here only as long as the block before it is.** So of a chain of keys those that are here are a
/// beginning, and the longest prefix is found by bisection. Blocks come in behind blocks that are here (`insert`), and
/// go with all that build on them (`drop`). A constraint of the schema holds against mistakes.
///
/// **Blocks are shared by revisions that are the same.** A space is made from the digest that a revision became known
/// by, and hangs on one of the revisions that have it; when that one goes, on another (`kv_space_inherited`), so that
/// blocks stay as long as any revision that they are valid for (`kv_space_revision`).
///
/// **A block and its shard are one.** The blob ends in the block's key, so no two blocks share a shard, and no other
/// shard has the bytes of a block. (Were they shared, the time that a `put` takes would tell a tenant what another one
/// asked.) A block's shard is present, or has no row: what is found damaged or missing is dropped.
package enum KVTable {
    /// Bytes of the blob behind the block's own: its key.
    package static let trailerBytes = ContentDigest.byteCount

    package struct Dropped {
        package var blobs: [BlobDirectory.Name] = []
        package var bytes = 0

        package init(blobs: [BlobDirectory.Name] = [], bytes: Int = 0) {
            self.blobs = blobs
            self.bytes = bytes
        }
        package var blocks: Int { blobs.count }
    }

    /// How many of the keys are here.
    package static func count(of keys: ArraySlice<ContentDigest>, _ db: Database) throws -> Int {
        var (low, high) = (0, keys.count)
        while low < high {
            let middle = (low + high + 1) / 2
            if try id(of: keys[keys.startIndex + middle - 1], db) != nil { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// - Returns: the block's row, which is its shard's.
    package static func id(of key: ContentDigest, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(db.cachedStatement(sql: "SELECT shard_id FROM kv_block WHERE key = ?"), arguments: [key])
    }

    /// Whether the shard is a block's.
    package static func isBlock(_ shard: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM kv_block WHERE shard_id = ?)"), arguments: [shard])
    }

    /// The shards of a block and of all before it, in order.
    package static func chain(to key: ContentDigest, _ db: Database) throws -> [KVShard] {
        try Row.fetchAll(
            db.cachedStatement(
                sql: """
                    WITH RECURSIVE chain (shard_id, parent_id) AS (
                      SELECT shard_id, parent_id FROM kv_block WHERE key = ?
                      UNION ALL
                      SELECT kv_block.shard_id, kv_block.parent_id
                      FROM chain JOIN kv_block ON kv_block.shard_id = chain.parent_id)
                    SELECT shard.digest, shard.bytes, shard.depth
                    FROM chain JOIN shard ON shard.id = chain.shard_id
                    ORDER BY shard.depth
                    """),
            arguments: [key]
        ).map { KVShard(digest: $0["digest"], bytes: $0["bytes"], depth: $0["depth"]) }
    }

    /// The row of a space, made if there is none.
    ///
    /// - Returns: nil if the revision has gone.
    package static func save(_ space: KVSpace, revision: Int64, _ db: Database) throws -> Int64? {
        let known = try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT id FROM kv_space WHERE digest = ?"), arguments: [space.digest])
        if let known { return known }
        return try Int64.fetchOne(
            db,
            sql: """
                INSERT INTO kv_space (digest, revision_id, format, tenant, block_tokens, created_at)
                SELECT ?, id, ?, ?, ?, ? FROM revision WHERE id = ?
                RETURNING id
                """,
            arguments: [space.digest, space.format, space.tenant, space.blockTokens, StoreClock.now, revision])
    }

    /// Makes the rows of a block whose blob is about to be installed.
    ///
    /// - Returns: its row; nil if a file holds the very bytes of its blob. Then it is not kept.
    package static func insert(
        _ shard: KVShard, key: ContentDigest, parent: Int64?, space: Int64, seconds: Double?, _ db: Database
    ) throws -> Int64? {
        guard let id = try ShardTable.insertBlock(shard, seconds: seconds, db) else { return nil }
        try db.cachedStatement(sql: "INSERT INTO kv_block (shard_id, key, space_id, parent_id) VALUES (?, ?, ?, ?)")
            .execute(arguments: [id, key, space, parent])
        return id
    }

    /// Drops blocks, and before each of them all that build on it.
    ///
    /// - Parameters:
    ///   - blocks: rows; those that are no block's are passed over.
    ///   - leavesOnly: pass over those that something builds on.
    /// - Returns: the blobs to sweep once the transaction is committed.
    package static func drop(
        _ blocks: some Sequence<Int64>, leavesOnly: Bool = false, _ db: Database
    ) throws -> Dropped {
        let children = try db.cachedStatement(sql: "SELECT shard_id FROM kv_block WHERE parent_id = ?")
        let delete = try db.cachedStatement(sql: "DELETE FROM kv_block WHERE shard_id = ? RETURNING space_id")
        var dropped = Dropped()
        var spaces: Set<Int64> = []
        for block in blocks {
            // Each block stands behind the one that it builds on.
            var doomed = [block]
            var index = 0
            while index < doomed.count {
                doomed += try Int64.fetchAll(children, arguments: [doomed[index]])
                index += 1
            }
            if leavesOnly && doomed.count > 1 { continue }
            for block in doomed.reversed() {
                guard let space = try Int64.fetchOne(delete, arguments: [block]) else { continue }
                spaces.insert(space)
                try forget(block, &dropped, db)
            }
        }
        let empty = try db.cachedStatement(
            sql: """
                DELETE FROM kv_space WHERE id = :space AND NOT EXISTS (SELECT 1 FROM kv_block WHERE space_id = :space)
                """)
        for space in spaces { try empty.execute(arguments: ["space": space]) }
        return dropped
    }

    /// Drops what blocks have left whose revision has gone.
    package static func dropOrphans(_ db: Database) throws -> Dropped {
        var dropped = Dropped()
        for orphan in try ShardTable.orphanedBlocks(db) { try forget(orphan, &dropped, db) }
        return dropped
    }

    /// Removes the shard of a block that has gone, unless a file has come to hold the same bytes.
    private static func forget(_ shard: Int64, _ dropped: inout Dropped, _ db: Database) throws {
        guard let shard = try ShardTable.removeBlock(shard, db) else { return }
        dropped.blobs.append(.init(digest: shard.digest, kind: .shard))
        dropped.bytes += shard.bytes
    }
}
