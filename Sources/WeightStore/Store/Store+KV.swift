import Files
import GRDB
import Glibc
import Storage
import Synchronization
import Support

extension Store {
    /// Drops the block with that shard, if it exists, and all of its descendants.
    ///
    /// - Parameter isMissing: whether its file was not found. Then nothing is dropped if the file exists now.
    /// - Returns: the number of blocks dropped.
    /// - Throws: ``StorageError/foreignBlobs(path:found:)`` if the blobs are not mounted: the block may be among them.
    @discardableResult
    func dropKVBlock(_ digest: ContentDigest, isMissing: Bool) throws -> Int {
        let dropped = try catalog.write(durable: false) { db in
            try StoreIdentity.require(blobs, db)
            // As a read finds it: a link to nothing is no file. Otherwise a lease would try it again without end.
            if isMissing, try FileSystem.status(blobs.path(digest)) != nil { return KVTable.Dropped() }
            guard let row = try ShardTable.find(digest, db), row.kind == .kv else { return KVTable.Dropped() }
            return try KVTable.drop([row.id], db)
        }
        try authority.deleteIfAllowed(dropped.blobs, .dropped)
        return dropped.blocks
    }
}

extension Revision {
    /// The digest that the revision had when it was added; it stays the same when the last bytes of a pull arrive.
    func initialDigest() throws -> ContentDigest {
        try store.catalog.read { db in
            try RevisionTable.initialDigest(of: id, db)
        } ?? digest
    }
}

extension Store {
    /// The stored KV blocks, summed by model, revision, format, tenant and block length. Blocks that are valid for
    /// several identical revisions are listed with each.
    ///
    /// - Parameter pattern: lists only models whose names match this shell pattern, such as `org/*`.
    public func kvSpaces(ofModelsMatching pattern: String? = nil) throws -> [KVSpaceInfo] {
        let superseded = Set(try supersededSpaces())
        return try catalog.read { db in
            try Row.mapAll(
                db,
                sql: """
                    SELECT kv_space.id, model.name AS model, revision.version, revision.digest, kv_space.format,
                           kv_space.tenant, kv_space.block_tokens, count(*) AS blocks, sum(shard.bytes) AS bytes,
                           max(shard.depth) + 1 AS longest, sum(shard.access_count) AS accesses,
                           max(shard.last_access) AS last_access
                    FROM kv_space
                    JOIN kv_space_revision ON kv_space_revision.space_id = kv_space.id
                    JOIN revision ON revision.id = kv_space_revision.revision_id
                    JOIN model ON model.id = revision.model_id
                    JOIN kv_block ON kv_block.space_id = kv_space.id
                    JOIN shard ON shard.id = kv_block.shard_id
                    WHERE :pattern IS NULL OR model.name GLOB :pattern
                    GROUP BY kv_space.id, revision.id
                    ORDER BY model.name, revision.version, kv_space.format, kv_space.tenant, kv_space.block_tokens
                    """, arguments: ["pattern": pattern]
            ) { row in
                let model: String = try row.value("model")
                let blockTokens: Int = try row.size("block_tokens")
                let longest: Int = try row.value("longest")
                return try KVSpaceInfo(
                    model: model,
                    revision: RevisionName.text(model, version: row.value("version"), digest: row.value("digest")),
                    superseded: superseded.contains(row.value("id")), format: row.value("format"),
                    tenant: row.value("tenant"), blockTokens: blockTokens, blocks: row.value("blocks"),
                    bytes: row.value("bytes"), longest: longest.multiplied(saturating: blockTokens),
                    accesses: row.value("accesses"), lastAccess: row.value("last_access"))
            }
        }
    }

    /// The KV quota, and how much of it is used.
    public func kvGauge() throws -> KVGauge {
        let superseded = try supersededSpaces()
        return try catalog.read { db in
            KVGauge(
                quota: try Quota(.kv, db), blocks: try Totals.shards(.kv, db), bytes: try Totals.bytes(.kv, db),
                superseded: try Int.fetchValue(
                    db,
                    sql: """
                        SELECT coalesce(sum(shard.bytes), 0)
                        FROM kv_block JOIN shard ON shard.id = kv_block.shard_id
                        WHERE kv_block.space_id IN (\(superseded.map(String.init).joined(separator: ", ")))
                        """),
                spaces: try Int.fetchValue(db, sql: "SELECT count(*) FROM kv_space"))
        }
    }

    /// Drops the selected KV blocks. An engine can compute them again.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` for an unknown model or revision.
    @discardableResult
    public func dropKV(_ selection: KVSelection = KVSelection(), dryRun: Bool = false) throws -> KVDropSummary {
        var summary = KVDropSummary()
        var rest = try kvBlocks(selection)[...]
        while !rest.isEmpty {
            // In slices, so that the write lock is held only briefly. A dry run is rolled back, so it is one slice.
            let slice = rest.prefix(dryRun ? rest.count : 1024)
            rest = rest.dropFirst(slice.count)
            let dropped = try catalog.write(dryRun: dryRun, durable: false) { db in
                try authority.require(db)
                return try KVTable.drop(slice, leavesOnly: true, db)
            }
            if !dryRun { try authority.delete(dropped.blobs, .dropped) }
            summary.blocks += dropped.blocks
            summary.bytes.add(saturating: dropped.bytes)
        }
        return summary
    }

    /// The rows of the selected blocks, each before its parent.
    private func kvBlocks(_ selection: KVSelection) throws -> [Int64] {
        let superseded = selection.superseded ? Set(try supersededSpaces()) : nil
        return try catalog.read { db in
            let revisions = try selection.revision.map { name in
                let first = try RevisionRow.find(name, db)
                return Set(
                    (name.utf8.contains(UInt8(ascii: "@")) ? [first] : try RevisionRow.all(of: first.model, db)).map(
                        \.id))
            }
            let spaces = try Row.fetchAll(
                db,
                sql: """
                    SELECT kv_space.id, kv_space_revision.revision_id, kv_space.tenant
                    FROM kv_space JOIN kv_space_revision ON kv_space_revision.space_id = kv_space.id
                    """
            ).filter { row in
                let (revision, space): (Int64, Int64) = try (row.value("revision_id"), row.value("id"))
                let tenant: ContentDigest = try row.value("tenant")
                return (revisions?.contains(revision) ?? true) && (superseded?.contains(space) ?? true)
                    && (selection.tenant.map { tenant.hex.hasBytePrefix($0.lowercased()) } ?? true)
            }.map { try $0.value("id") as Int64 }
            let before = selection.olderThanSeconds.map { StoreClock.now.subtracting(saturating: $0) }
            let blocks = try db.cachedStatement(
                sql: """
                    SELECT kv_block.shard_id FROM kv_block JOIN shard ON shard.id = kv_block.shard_id
                    WHERE kv_block.space_id = ? AND (? IS NULL OR shard.last_access < ?)
                    ORDER BY shard.depth DESC
                    """)
            return try Set(spaces).sorted().flatMap { try Int64.fetchAll(blocks, arguments: [$0, before, before]) }
        }
    }
}

extension Store {
    /// The KV blocks of a revision, for one byte layout and one tenant.
    ///
    /// - Parameters:
    ///   - revision: the revision that computed the blocks.
    ///   - format: a description of the layout of a block's bytes: element type, layers, heads, compression. 1 to 200
    ///     bytes of UTF-8.
    ///   - blockTokens: tokens per block, 1 to 1,048,576. A prefix is found in whole blocks.
    ///   - tenant: a salt. Blocks of one tenant are not found with another one's salt; the empty string is a tenant,
    ///     too.
    /// - Throws: ``StorageError/invalid(what:value:reason:)``.
    public func kvBlocks(of revision: Revision, format: String, blockTokens: Int, tenant: String = "") throws
        -> KVBlocks
    {
        guard 1...1 << 20 ~= blockTokens else {
            throw StorageError.invalid(
                what: "block length", value: "\(blockTokens)", reason: "must be between 1 and \(1 << 20) tokens")
        }
        guard 1...200 ~= format.utf8.count else {
            throw StorageError.invalid(what: "KV format", value: format, reason: "must have 1 to 200 bytes")
        }
        precondition(revision.store === self, "the revision belongs to another store")
        return KVBlocks(
            revision,
            KVSpace(
                revision: try revision.initialDigest(), format: format, blockTokens: blockTokens, tenant: tenant))
    }
}
