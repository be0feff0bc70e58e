import GRDB

/// The shard of a KV block.
package struct KVShard: Sendable {
    /// The digest of the blob.
    package let digest: ContentDigest
    /// The size of the blob, in bytes.
    package let bytes: Int
    /// The number of blocks before it in its sequence.
    package let depth: Int

    /// Creates a description of a block's shard.
    package init(digest: ContentDigest, bytes: Int, depth: Int) {
        self.digest = digest
        self.bytes = bytes
        self.depth = depth
    }
}

/// The tables `kv_space` and `kv_block`. This type makes every change to them.
///
/// **A block is stored only while its parent, the block before it, is stored.** So the stored blocks of a chain of keys
/// are always a prefix, and bisection finds the longest one. `insert` adds a block only after a stored parent, and
/// `drop` removes a block with all its descendants. A constraint of the schema enforces the invariant.
///
/// **Identical revisions share blocks.** A space is made from a revision's first digest, and belongs to one of the
/// revisions with that digest. When this revision is removed, the space moves to another one (`kv_space_inherited`), so
/// blocks remain as long as any revision for which they are valid (`kv_space_revision`). If there is none, the space has no
/// revision, and its blocks are dropped in slices (`dropAbandoned`).
///
/// **Each block has a shard of its own.** The blob ends with the block's key, so no two blocks share a shard, and no
/// other shard has the bytes of a block. (If tenants shared shards, the duration of a `put` would reveal to one tenant
/// the prompts of another.) A block's shard is present or has no row: a damaged or missing block is dropped.
package enum KVTable {
    /// The bytes of a blob after the block's data: its key.
    package static let trailerBytes = ContentDigest.byteCount

    /// The blobs of dropped blocks.
    package struct Dropped {
        /// The blobs to delete.
        package var blobs: [BlobDirectory.Name] = []
        /// Their total size, in bytes.
        package var bytes = 0

        package init(blobs: [BlobDirectory.Name] = [], bytes: Int = 0) {
            self.blobs = blobs
            self.bytes = bytes
        }
        /// The number of dropped blocks.
        package var blocks: Int { blobs.count }
    }

    /// The number of keys, from the first, whose blocks are stored.
    package static func count(of keys: ArraySlice<ContentDigest>, _ db: Database) throws -> Int {
        var (low, high) = (0, keys.count)
        while low < high {
            let middle = (low + high + 1) / 2
            if try id(of: keys[keys.startIndex + middle - 1], db) != nil { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// - Returns: the id of the block's row, which is its shard's; nil if the block is not stored.
    package static func id(of key: ContentDigest, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(db.cachedStatement(sql: "SELECT shard_id FROM kv_block WHERE key = ?"), arguments: [key])
    }

    /// Whether the shard belongs to a block.
    package static func isBlock(_ shard: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM kv_block WHERE shard_id = ?)"), arguments: [shard])
    }

    /// The shards of a block and of all blocks before it, in order.
    package static func chain(to key: ContentDigest, _ db: Database) throws -> [KVShard] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    WITH RECURSIVE chain (shard_id, parent_id) AS (
                      SELECT shard_id, parent_id FROM kv_block WHERE key = ?
                      UNION
                      SELECT kv_block.shard_id, kv_block.parent_id
                      FROM chain JOIN kv_block ON kv_block.shard_id = chain.parent_id)
                    SELECT shard.digest, shard.bytes, shard.depth
                    FROM chain JOIN shard ON shard.id = chain.shard_id
                    ORDER BY shard.depth
                    """),
            arguments: [key]
        ) { row in
            let bytes: Int = try row.size("bytes")
            guard bytes >= trailerBytes else { throw row.damaged("bytes") }
            return try KVShard(digest: row.value("digest"), bytes: bytes, depth: row.size("depth"))
        }
    }

    /// Finds or inserts the row of a space.
    ///
    /// - Returns: nil if the revision no longer exists.
    package static func save(_ space: KVSpace, revision: Int64, _ db: Database) throws -> Int64? {
        let known = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT id, revision_id FROM kv_space WHERE digest = ?"),
            arguments: [space.digest])
        if let known {
            if try known.value("revision_id") as Int64? != nil { return try known.value("id") }
            // The revision was removed and is here again, and the blocks that were not dropped yet are valid for it.
            return try Int64.fetchOne(
                db,
                sql: """
                    UPDATE kv_space SET revision_id = :revision
                    WHERE id = :space AND EXISTS (SELECT 1 FROM revision WHERE id = :revision)
                    RETURNING id
                    """, arguments: ["revision": revision, "space": known.value("id") as Int64])
        }
        return try Int64.fetchOne(
            db,
            sql: """
                INSERT INTO kv_space (digest, revision_id, format, tenant, block_tokens, created_at)
                SELECT ?, id, ?, ?, ?, ? FROM revision WHERE id = ?
                RETURNING id
                """,
            arguments: [space.digest, space.format, space.tenant, space.blockTokens, StoreClock.now, revision])
    }

    /// Inserts the rows of a block whose blob is about to be installed.
    ///
    /// - Returns: the id of its row; nil if a file's shard has the same bytes: then the block is not stored.
    package static func insert(
        _ shard: KVShard, key: ContentDigest, parent: Int64?, space: Int64, seconds: Double?, _ db: Database
    ) throws -> Int64? {
        guard let id = try ShardTable.insertBlock(shard, seconds: seconds, db) else { return nil }
        try db.cachedStatement(sql: "INSERT INTO kv_block (shard_id, key, space_id, parent_id) VALUES (?, ?, ?, ?)")
            .execute(arguments: [id, key, space, parent])
        return id
    }

    /// Drops blocks, each after all its descendants.
    ///
    /// - Parameters:
    ///   - blocks: ids of rows; those that belong to no block are skipped.
    ///   - leavesOnly: skip blocks that have children.
    /// - Returns: the blobs to delete once the transaction is committed.
    package static func drop(
        _ blocks: some Sequence<Int64>, leavesOnly: Bool = false, _ db: Database
    ) throws -> Dropped {
        let children = try db.cachedStatement(sql: "SELECT shard_id FROM kv_block WHERE parent_id = ?")
        let delete = try db.cachedStatement(sql: "DELETE FROM kv_block WHERE shard_id = ? RETURNING space_id")
        var dropped = Dropped()
        var spaces: Set<Int64> = []
        for block in blocks {
            // Parents precede their children. A block of a damaged catalog may be its own ancestor.
            var doomed = [block]
            var known: Set = [block]
            var index = 0
            while index < doomed.count {
                doomed += try Int64.fetchAll(children, arguments: [doomed[index]]).filter { known.insert($0).inserted }
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

    /// Drops blocks of a space that no revision has, and the space once it has no blocks left.
    ///
    /// - Parameter limit: the maximal number of blocks, apart from their descendants.
    /// - Returns: nil if there is no such space.
    package static func dropAbandoned(limit: Int, _ db: Database) throws -> Dropped? {
        guard
            let space = try Int64.fetchOne(
                db.cachedStatement(sql: "SELECT id FROM kv_space WHERE revision_id IS NULL LIMIT 1"))
        else { return nil }
        // The newest first: a block is newer than its parent.
        let blocks = try Int64.fetchAll(
            db.cachedStatement(sql: "SELECT shard_id FROM kv_block WHERE space_id = ? ORDER BY shard_id DESC LIMIT ?"),
            arguments: [space, limit])
        if blocks.isEmpty { try db.execute(sql: "DELETE FROM kv_space WHERE id = ?", arguments: [space]) }
        return try drop(blocks, db)
    }

    /// Drops the shards of blocks that were removed with their revision.
    package static func dropOrphans(_ db: Database) throws -> Dropped {
        var dropped = Dropped()
        for orphan in try ShardTable.orphanedBlocks(db) { try forget(orphan, &dropped, db) }
        return dropped
    }

    /// Removes the shard of a removed block, unless a file holds the same bytes or an import claims it.
    private static func forget(_ shard: Int64, _ dropped: inout Dropped, _ db: Database) throws {
        guard let shard = try ShardTable.removeBlock(shard, db) else { return }
        dropped.blobs.append(.init(digest: shard.digest, kind: .shard))
        dropped.bytes.add(saturating: shard.bytes)
    }
}
