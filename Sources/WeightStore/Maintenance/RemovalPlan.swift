import GRDB
import Storage

/// What a removal will do: made on a snapshot of the catalog, without a lock, however long that takes.
///
/// `commits` is the commit counter of the snapshot. While it is the catalog's, no shard, revision, origin or pin has
/// changed, so the plan is still right.
struct RemovalPlan {
    /// The revisions to remove.
    private(set) var revisions: [RevisionRow] = []
    /// The models to remove.
    var models: [Int64] = []
    /// Revisions that were skipped.
    var kept: [KeptRevision] = []
    /// Shards to fetch before the removal.
    private(set) var fetchFirst: [NeededShard] = []
    /// Bytes of weights that the removal of the revisions frees; only counted if the plan counts.
    private(set) var weights = 0
    let commits: Int
    private let fewAbsent: Bool
    /// The living leases if the plan counts what is freed, whose claims keep shards.
    private let leases: [String]?
    /// Shards that could not be fetched, and why.
    private let unfetchable: [ContentDigest: String]
    /// Whether the blob of a shard does not exist.
    private let isGone: (ContentDigest) throws -> Bool
    private var totals = RemovalSlices.Totals()

    /// - Parameters:
    ///   - leases: the living leases, to count what the removal frees; nil not to count, which is faster.
    ///   - unfetchable: shards that could not be fetched, and why.
    ///   - isGone: whether the blob of a shard does not exist.
    init(
        countingBeside leases: [String]?, unfetchable: [ContentDigest: String],
        isGone: @escaping (ContentDigest) throws -> Bool, _ db: Database
    ) throws {
        commits = try CommitCounter.value(db)
        fewAbsent = try !ShardTable.hasAbsent(Self.few, db)
        self.leases = leases
        self.unfetchable = unfetchable
        self.isGone = isGone
        if leases != nil { try FreedRows.begin(db) }
    }

    /// So many shards without bytes are read under the write lock.
    static let few = 10_000

    /// Adds revisions that are removed together.
    ///
    /// - Throws: ``StoreError/neededElsewhere(revision:others:shards:reason:)`` if a shard that other revisions need could
    ///   not be fetched; then none is added.
    mutating func add(_ added: [RevisionRow], _ db: Database) throws {
        let leaving = (revisions + added).map(\.id)
        var needed: [NeededShard] = []
        for revision in added {
            let shards = try NeededShard.all(
                of: revision.id, leaving: leaving, fewAbsent: fewAbsent, isGone: isGone, db)
            if let reason = shards.lazy.compactMap({ [unfetchable] in unfetchable[$0.digest] }).first {
                throw StoreError.neededElsewhere(
                    revision: revision.name, others: Array(Set(shards.flatMap(\.others))).sorted(),
                    shards: shards.count, reason: reason)
            }
            needed += shards
        }
        var seen = Set(fetchFirst.map(\.digest))
        for shard in needed where seen.insert(shard.digest).inserted { fetchFirst.append(shard) }
        revisions += added
        guard let leases else { return }
        try FreedRows.leave(added.map(\.id), db)
        let freed = try FreedRows.count(beside: leases, db)
        totals.shards += freed.shards
        totals.bytes.add(saturating: freed.bytes)
        weights += freed.bytes
    }

    /// The report of a dry run.
    func summary(_ db: Database) throws -> RemovalSummary {
        var summary = RemovalSummary()
        summary.revisions = revisions.map(\.name)
        for revision in revisions {
            summary.refs += try RefTable.names(of: revision.id, db).map { "\(revision.modelName)@\($0)" }
        }
        summary.kept = kept
        let blocks = try FreedRows.countBlocks(db)
        summary.kvBlocks = blocks.shards
        summary.shards = totals.shards + blocks.shards
        summary.bytes = totals.bytes + blocks.bytes
        summary.report(fetchFirst)
        return summary
    }
}

extension RemovalSummary {
    mutating func report(_ fetched: [NeededShard]) {
        fetchedFirst = fetched.count
        fetchedFirstBytes = fetched.saturatingSum(\.bytes)
        neededBy = Array(Set(fetched.flatMap(\.others))).sorted()
    }
}

/// Counts the rows that a removal of revisions or files would free, in temporary tables of a read-only connection:
/// `leaving_revision`, and `leaving_file` with the files that only leaving revisions link. Each call of `count` counts what
/// the files that were added since the last one free.
enum FreedRows {
    /// Forgets an earlier count on the connection.
    static func begin(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TEMP TABLE IF NOT EXISTS leaving_revision (revision_id INTEGER PRIMARY KEY);
                CREATE TEMP TABLE IF NOT EXISTS leaving_file (
                  file_id INTEGER PRIMARY KEY, is_new INTEGER NOT NULL DEFAULT 1);
                -- The count reads the files that were added since the last one.
                CREATE INDEX IF NOT EXISTS temp.leaving_file_new ON leaving_file (file_id) WHERE is_new = 1;
                DELETE FROM temp.leaving_revision;
                DELETE FROM temp.leaving_file;
                """)
    }

    /// Adds revisions, and the files that no other revision links.
    static func leave(_ revisions: [Int64], _ db: Database) throws {
        for revision in revisions {
            try db.cachedStatement(sql: "INSERT OR IGNORE INTO temp.leaving_revision (revision_id) VALUES (?)")
                .execute(arguments: [revision])
        }
        for revision in revisions {
            try db.cachedStatement(
                sql: """
                    INSERT OR IGNORE INTO temp.leaving_file (file_id)
                    SELECT revision_file.file_id
                    FROM main.revision_file
                    WHERE revision_file.revision_id = ?
                          AND NOT EXISTS (
                            SELECT 1
                            FROM main.revision_file AS other
                            WHERE other.file_id = revision_file.file_id
                                  AND other.revision_id NOT IN (SELECT revision_id FROM temp.leaving_revision))
                    """
            ).execute(arguments: [revision])
        }
    }

    /// Adds files, unless a revision links them.
    static func leave(files: [Int64], _ db: Database) throws {
        for file in files where try !FileTable.isLinked(file, db) {
            try db.cachedStatement(sql: "INSERT OR IGNORE INTO temp.leaving_file (file_id) VALUES (?)")
                .execute(arguments: [file])
        }
    }

    /// The shards that the files that were added since the last call free.
    ///
    /// - Parameters:
    ///   - leases: the living leases, whose claims keep shards.
    ///   - others: shards that are freed, too, unless a file that stays references them.
    static func count(
        beside leases: [String], and others: [Int64] = [], _ db: Database
    ) throws -> (shards: Int, bytes: Int) {
        let row = try Row.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT count(*) AS shards, coalesce(sum(iif(shard.state = 'present', shard.bytes, 0)), 0) AS bytes
                    FROM main.shard
                    WHERE shard.id IN (
                            SELECT extent.shard_id
                            FROM temp.leaving_file CROSS JOIN main.extent ON extent.file_id = leaving_file.file_id
                            WHERE leaving_file.is_new = 1
                            UNION ALL
                            SELECT value FROM json_each(:others))
                          AND NOT EXISTS (
                            SELECT 1 FROM main.extent
                            WHERE extent.shard_id = shard.id
                                  AND extent.file_id NOT IN (SELECT file_id FROM temp.leaving_file))
                          AND NOT EXISTS (SELECT 1 FROM main.kv_block WHERE kv_block.shard_id = shard.id)
                          AND NOT EXISTS (
                            SELECT 1 FROM main.claim
                            WHERE claim.shard_id = shard.id AND claim.lease IN (SELECT value FROM json_each(:leases)))
                    """),
            arguments: ["leases": json(leases.map { "\"\($0)\"" }), "others": json(others.map { "\($0)" })])
        try db.execute(sql: "UPDATE temp.leaving_file SET is_new = 0 WHERE is_new = 1")
        guard let row else { throw DatabaseError.damaged("a count has no row") }
        return try (row.value("shards"), row.value("bytes"))
    }

    /// The KV blocks that are valid for no revision that stays.
    static func countBlocks(_ db: Database) throws -> (shards: Int, bytes: Int) {
        let row = try Row.fetchOne(
            db,
            sql: """
                SELECT count(*) AS shards, coalesce(sum(shard.bytes), 0) AS bytes
                FROM main.kv_block JOIN main.shard ON shard.id = kv_block.shard_id
                WHERE kv_block.space_id IN (
                        SELECT kv_space_revision.space_id
                        FROM main.kv_space_revision
                        GROUP BY kv_space_revision.space_id
                        HAVING min(kv_space_revision.revision_id IN (SELECT revision_id FROM temp.leaving_revision)))
                """)
        guard let row else { throw DatabaseError.damaged("a count has no row") }
        return try (row.value("shards"), row.value("bytes"))
    }

    private static func json(_ values: [String]) -> String { "[\(values.joined(separator: ","))]" }
}
