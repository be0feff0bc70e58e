import GRDB
import Glibc
import Storage
import Synchronization

extension Store {
    /// Drops a block, if it is still there, with those that build on it, by the digest of its shard.
    ///
    /// - Returns: how many blocks went.
    @discardableResult
    func dropKVBlock(_ digest: ContentDigest) throws -> Int {
        let dropped = try catalog.write(durable: false) { db in
            guard let row = try ShardTable.find(digest, db), row.kind == .kv else { return KVTable.Dropped() }
            return try KVTable.drop([row.id], db)
        }
        try sweep(dropped.blobs)
        return dropped.blocks
    }
}

extension Revision {
    /// The digest that the revision has had since it became known: it does not change when its last bytes come.
    func lastingDigest() throws -> ContentDigest {
        try store.catalog.read { db in
            try RevisionTable.lastingDigest(of: id, db)
        } ?? digest
    }
}

extension Store {
    /// What KV blocks there are, by model, revision, format and tenant. Those that are valid for several revisions, because
    /// these are the same, stand with each.
    ///
    /// - Parameter pattern: only of models that match, as in a shell.
    public func kvSpaces(ofModelsMatching pattern: String? = nil) throws -> [KVSpaceInfo] {
        let superseded = Set(try supersededSpaces())
        return try catalog.read { db in
            try Row.fetchAll(
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
                    """, arguments: ["pattern": pattern])
        }.map { row in
            let model: String = row["model"]
            let version: Int? = row["version"]
            let digest: ContentDigest = row["digest"]
            let blockTokens: Int = row["block_tokens"]
            return KVSpaceInfo(
                model: model, revision: "\(model)@\(version.map { "v\($0)" } ?? digest.short)",
                superseded: superseded.contains(row["id"]), format: row["format"], tenant: row["tenant"],
                blockTokens: blockTokens, blocks: row["blocks"], bytes: row["bytes"],
                longest: row["longest"] * blockTokens, accesses: row["accesses"], lastAccess: row["last_access"])
        }
    }

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

    /// Drops KV blocks at a person's word. No harm is done: they can be computed again.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` for a model or revision that is not there.
    @discardableResult
    public func dropKV(_ selection: KVSelection = KVSelection(), dryRun: Bool = false) throws -> KVDropSummary {
        var summary = KVDropSummary()
        var rest = try kvBlocks(selection)[...]
        while !rest.isEmpty {
            // In slices, so that nobody waits long. A dry run is rolled back, and so must be one.
            let slice = rest.prefix(dryRun ? rest.count : 1024)
            rest = rest.dropFirst(slice.count)
            let dropped = try catalog.write(dryRun: dryRun, durable: false) { db in
                try KVTable.drop(slice, leavesOnly: true, db)
            }
            if !dryRun { try sweep(dropped.blobs) }
            summary.blocks += dropped.blocks
            summary.bytes += dropped.bytes
        }
        return summary
    }

    /// The rows of the chosen blocks, each before the one that it builds on.
    private func kvBlocks(_ selection: KVSelection) throws -> [Int64] {
        let superseded = selection.superseded ? Set(try supersededSpaces()) : nil
        return try catalog.read { db in
            let revisions = try selection.revision.map { name in
                let first = try RevisionRow.find(name, db)
                return Set((name.contains("@") ? [first] : try RevisionRow.all(of: first.model, db)).map(\.id))
            }
            let spaces = try Row.fetchAll(
                db,
                sql: """
                    SELECT kv_space.id, kv_space_revision.revision_id, kv_space.tenant
                    FROM kv_space JOIN kv_space_revision ON kv_space_revision.space_id = kv_space.id
                    """
            ).filter { row in
                (revisions?.contains(row["revision_id"]) ?? true) && (superseded?.contains(row["id"]) ?? true)
                    && (selection.tenant.map { (row["tenant"] as ContentDigest).hex.hasPrefix($0.lowercased()) } ?? true)
            }.map { $0["id"] as Int64 }
            let before = selection.olderThanSeconds.map { StoreClock.now - $0 }
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
    /// The KV blocks of a revision, for one layout of the bytes and one tenant.
    ///
    /// - Parameters:
    ///   - format: says how a block's bytes are laid out: element, layers, heads, compression. At most 200 bytes.
    ///   - blockTokens: tokens of a block. A prefix is found in whole blocks.
    ///   - tenant: a salt. Who has another one finds nothing of this one's; the empty one is a tenant, too.
    /// - Throws: ``StorageError/invalid(what:value:reason:)``.
    public func kvBlocks(of revision: Revision, format: String, blockTokens: Int, tenant: String = "") throws
        -> KVBlocks
    {
        guard 1...1 << 20 ~= blockTokens else {
            throw StorageError.invalid(
                what: "block length", value: "\(blockTokens)", reason: "1 to \(1 << 20) tokens are")
        }
        guard 1...200 ~= format.utf8.count else {
            throw StorageError.invalid(what: "KV format", value: format, reason: "1 to 200 bytes are")
        }
        precondition(revision.store === self, "a revision of another store")
        return KVBlocks(
            revision,
            KVSpace(
                revision: try revision.lastingDigest(), format: format, blockTokens: blockTokens, tenant: tenant))
    }
}
