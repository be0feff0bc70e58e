import GRDB
import ModelFormats

/// Looks up shards, and lists them by state and by reference.
extension ShardTable {
    /// - Returns: nil if there is no such shard.
    package static func find(_ digest: ContentDigest, _ db: Database) throws -> Entry? {
        try Row.fetchOne(
            db.cachedStatement(sql: "SELECT \(entryColumns) FROM shard WHERE digest = ?"), arguments: [digest]
        ).map(Entry.init)
    }

    /// - Returns: nil if there is no such shard.
    package static func find(id: Int64, _ db: Database) throws -> Entry? {
        try Row.fetchOne(db.cachedStatement(sql: "SELECT \(entryColumns) FROM shard WHERE id = ?"), arguments: [id])
            .map(Entry.init)
    }

    /// Whether the shard has a row, and its blob exists according to it.
    package static func isPresent(_ digest: ContentDigest, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM shard WHERE digest = ? AND state = 'present')"),
            arguments: [digest])
    }

    /// Whether a shard of this size is present.
    package static func hasPresent(bytes: Int, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM shard WHERE bytes = ? AND state = 'present')"),
            arguments: [bytes])
    }

    /// Whether a shard of the same size and with the same first bytes is present: then the incoming one is probably
    /// the same.
    package static func hasPresent(bytes: Int, head: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(
                sql: """
                    SELECT EXISTS (SELECT 1 FROM shard WHERE bytes = ? AND head = ? AND state = 'present')
                    """),
            arguments: [bytes, head])
    }

    /// The present shards of this size and with the same first bytes.
    package static func present(bytes: Int, head: Int64, _ db: Database) throws -> [ShardFacts] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT digest, bytes, kind, layer, head FROM shard WHERE bytes = ? AND head = ? AND state = 'present'
                    """),
            arguments: [bytes, head]
        ) { row in try ShardFacts(row) }
    }

    /// Those of these shards that are present.
    ///
    /// - Parameter digests: at most some thousands.
    package static func present(_ digests: [ContentDigest], _ db: Database) throws -> [ShardFacts] {
        try Row.mapAll(
            db,
            sql: """
                SELECT digest, bytes, kind, layer, head FROM shard
                WHERE digest IN (\(databaseQuestionMarks(count: digests.count))) AND state = 'present'
                """, arguments: StatementArguments(digests)
        ) { row in try ShardFacts(row) }
    }

    /// Whether a shard of the same size and with the same first bytes has a row, in whatever state it is.
    package static func isKnown(bytes: Int, head: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM shard WHERE bytes = ? AND head = ?)"),
            arguments: [bytes, head])
    }

    /// The shards of a file.
    package static func all(ofFile file: Int64, _ db: Database) throws -> [Entry] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT \(entryColumns) FROM shard
                    WHERE id IN (SELECT shard_id FROM extent WHERE file_id = ?)
                    """), arguments: [file], Entry.init)
    }

    /// The ids of present shards, the least recently verified first: of a million, 8 MB.
    ///
    /// - Parameters:
    ///   - revision: only shards of this revision.
    ///   - before: only shards last verified before this time, in seconds since 1970.
    ///   - share: only the first of them, until these have this share of the bytes of all, 0 to 1.
    /// - Returns: also the size of these shards, in bytes.
    package static func present(
        of revision: Int64?, verifiedBefore before: Int?, share: Double = 1, _ db: Database
    ) throws -> (shards: [Int64], bytes: Int) {
        var condition = "state = 'present' AND (:before IS NULL OR verified_at < :before)"
        var arguments: StatementArguments = ["before": before]
        if let revision {
            condition += """
                 AND id IN (
                  SELECT extent.shard_id
                  FROM revision_file JOIN extent ON extent.file_id = revision_file.file_id
                  WHERE revision_file.revision_id = :revision)
                """
            arguments += ["revision": revision]
        }
        var rest = Double.infinity
        if share < 1 {
            let sizes = try Row.fetchCursor(
                db, sql: "SELECT bytes FROM shard WHERE \(condition)", arguments: arguments)
            var all = 0
            while let row = try sizes.next() { all.add(saturating: try row.size("bytes")) }
            rest = Double(all) * max(share, 0)
        }
        let rows = try Row.fetchCursor(
            db, sql: "SELECT id, bytes FROM shard WHERE \(condition) ORDER BY verified_at, id", arguments: arguments)
        var result = (shards: [Int64](), bytes: 0)
        while rest > 0, let row = try rows.next() {
            let bytes: Int = try row.size("bytes")
            result.shards.append(try row.value("id"))
            result.bytes.add(saturating: bytes)
            rest -= Double(bytes)
        }
        return result
    }

    /// The shards that are quarantined or missing.
    package static func damaged(_ db: Database) throws -> [Entry] {
        try Row.fetchAll(db, sql: "SELECT \(entryColumns) FROM shard WHERE state IN ('quarantined', 'missing')")
            .map(Entry.init)
    }

    /// The shards of weights whose blob is missing or damaged, without the shards of a refused pull (`markRefused`),
    /// which no file needs.
    package static func lost(_ db: Database) throws -> [Entry] {
        try Row.mapAll(
            db,
            sql: """
                SELECT \(entryColumns) FROM shard
                WHERE state IN ('quarantined', 'missing') AND orphaned_at IS NULL AND kind <> 'kv'
                """
            , Entry.init)
    }

    /// The number and the bytes of the shards in ``lost(_:)``.
    package static func lostTotal(_ db: Database) throws -> (shards: Int, bytes: Int) {
        let row = try Row.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT count(*) AS shards, coalesce(sum(bytes), 0) AS bytes FROM shard
                    WHERE state IN ('quarantined', 'missing') AND orphaned_at IS NULL AND kind <> 'kv'
                    """))
        guard let row else { throw DatabaseError.damaged("a sum has no row") }
        return try (row.value("shards"), row.value("bytes"))
    }

    /// Whether at least `count` shards have no bytes here.
    package static func hasAbsent(_ count: Int, _ db: Database) throws -> Bool {
        try Int.fetchValue(
            db.cachedStatement(
                sql: """
                    SELECT count(*)
                    FROM (SELECT 1 FROM shard INDEXED BY shard_absent WHERE state <> 'present' LIMIT ?)
                    """), arguments: [count]) >= count
    }

    /// The evicted shards.
    package static func evicted(_ db: Database) throws -> [Entry] {
        try Row.mapAll(db, sql: "SELECT \(entryColumns) FROM shard WHERE state = 'evicted'", Entry.init)
    }

    /// The digests of at most `count` present shards of weights, at random places of the table.
    package static func sample(_ count: Int, _ db: Database) throws -> [ContentDigest] {
        let last = try Int64.fetchValue(db, sql: "SELECT coalesce(max(id), 0) FROM shard")
        let next = try db.cachedStatement(
            sql: """
                SELECT digest FROM shard WHERE id >= ? AND state = 'present' AND kind <> 'kv' ORDER BY id LIMIT 1
                """)
        var found: Set<ContentDigest> = []
        // From id 0 first: then a table with a present shard gives at least one.
        for start in [0] + (1..<count).map({ _ in Int64.random(in: 0...max(last, 0)) }) {
            if let digest = try ContentDigest.fetchOne(next, arguments: [start]) { found.insert(digest) }
        }
        return Array(found)
    }

    /// Whether a shard is listed as missing.
    package static func hasMissing(_ db: Database) throws -> Bool {
        try Bool.fetchValue(db, sql: "SELECT EXISTS (SELECT 1 FROM shard WHERE state = 'missing')")
    }

    /// The digests in a range that are stored, by state.
    package static func states(in digests: ClosedRange<ContentDigest>, _ db: Database) throws
        -> [(digest: ContentDigest, state: ShardState, kind: ShardKind)]
    {
        try Row.mapAll(
            db.cachedStatement(sql: "SELECT digest, state, kind FROM shard WHERE digest BETWEEN ? AND ?"),
            arguments: [digests.lowerBound, digests.upperBound]
        ) { try ($0.value("digest"), $0.word("state"), $0.word("kind")) }
    }

    /// The present shards of revisions that have an origin which was not seen to lack them: a missing blob of them was
    /// evicted.
    package static func fetchable(_ db: Database) throws -> [ContentDigest] {
        try ContentDigest.fetchAll(
            db,
            sql: """
                SELECT shard.digest
                FROM shard
                WHERE shard.state = 'present'
                      AND EXISTS (
                        SELECT 1
                        FROM extent
                        JOIN revision_file ON revision_file.file_id = extent.file_id
                        JOIN revision_origin ON revision_origin.revision_id = revision_file.revision_id
                        WHERE extent.shard_id = shard.id AND revision_origin.absent_at IS NULL)
                """)
    }

    /// The shards that have been orphans since `moment`, in seconds since 1970, or longer.
    package static func orphans(since moment: Int, _ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db, sql: "SELECT id FROM shard WHERE orphaned_at IS NOT NULL AND orphaned_at <= ?", arguments: [moment])
    }

    /// The shards that no file and no KV block references although they are not marked as orphans.
    ///
    /// Reads the whole table: call it outside of a write transaction, and check the result with `isUnreferenced` inside.
    package static func unreferenced(_ db: Database) throws -> [Int64] {
        try Int64.fetchAll(db, sql: "SELECT id FROM shard WHERE \(isWithoutReference)")
    }

    /// Whether no file and no KV block references the shard although it is not marked as an orphan.
    package static func isUnreferenced(_ shard: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM shard WHERE id = ? AND \(isWithoutReference))"),
            arguments: [shard])
    }

    private static let isWithoutReference = """
        orphaned_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM extent WHERE extent.shard_id = shard.id)
        AND NOT EXISTS (SELECT 1 FROM kv_block WHERE kv_block.shard_id = shard.id)
        """

    /// The shards of KV blocks that were removed with their revision.
    package static func orphanedBlocks(_ db: Database) throws -> [Int64] {
        try Int64.fetchAll(db.cachedStatement(sql: "SELECT id FROM shard WHERE orphaned_at = 0 AND kind = 'kv'"))
    }
}

extension ShardFacts {
    /// Reads the columns `digest`, `bytes`, `kind`, `layer` and `head` of `shard`.
    package init(_ row: Row) throws {
        try self.init(
            digest: row.value("digest"), bytes: row.size("bytes"), kind: row.word("kind"), layer: row.ordinal("layer"),
            head: row.value("head"))
    }
}
