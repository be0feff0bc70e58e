import Storage
import Support

/// `candidate` on disk: the shards of weights whose files may be evicted now.
///
/// `shard.evictable` states whether every revision that holds the shard has a checked origin and no pin. The lease files
/// list which revisions living processes use and which claims are valid; the shards of both are in the temporary table
/// `held`, which the view excludes. A process that opened a revision before its last byte arrived uses it by its
/// provisional digest.
package struct DiskCandidates {
    package let database: PolicyDatabase

    /// Opens a separate connection to the catalog and creates the view, as of now.
    ///
    /// - Parameter excluded: revisions whose shards are no candidates, because no origin of theirs could be checked.
    package init(_ catalog: String, _ holders: [LeaseDirectory.Holder], except excluded: Set<Int64> = []) throws {
        database = try PolicyDatabase(catalog)
        try database.execute(Self.setUp(holders, except: excluded, now: StoreClock.now))
    }

    private static let rows = """
        main.shard
        WHERE shard.evictable = 1 AND shard.id NOT IN (SELECT shard_id FROM held)
        """

    /// The statements that create or refresh the view in a connection.
    ///
    /// - Parameters:
    ///   - excluded: revisions whose shards are no candidates.
    ///   - now: seconds since 1970.
    package static func setUp(_ holders: [LeaseDirectory.Holder], except excluded: Set<Int64> = [], now: Int) -> String
    {
        let uses = Set(holders.flatMap(\.revisions)).map { "(\($0.model.quoted(doubling: "'")), x'\($0.digest)')" }
        let leases = holders.map { $0.lease.quoted(doubling: "'") }
        return """
            CREATE TEMP TABLE IF NOT EXISTS held (shard_id INTEGER PRIMARY KEY);
            CREATE TEMP TABLE IF NOT EXISTS moment (now INTEGER NOT NULL);
            DELETE FROM temp.held;
            DELETE FROM temp.moment;
            INSERT INTO temp.moment (now) VALUES (\(now));
            INSERT OR IGNORE INTO temp.held (shard_id)
            SELECT shard_id FROM main.claim WHERE lease IN (\(leases.joined(separator: ", ")));
            \(uses.isEmpty ? "" : """
                INSERT OR IGNORE INTO temp.held (shard_id)
                WITH used (model, digest) AS (VALUES \(uses.joined(separator: ", ")))
                SELECT extent.shard_id
                FROM used
                JOIN main.model ON model.name = used.model
                JOIN main.revision
                  ON revision.model_id = model.id AND used.digest IN (revision.digest, revision.provisional)
                JOIN main.revision_file ON revision_file.revision_id = revision.id
                JOIN main.extent ON extent.file_id = revision_file.file_id;
                """)
            \(excluded.isEmpty ? "" : """
                INSERT OR IGNORE INTO temp.held (shard_id)
                SELECT extent.shard_id
                FROM main.revision_file JOIN main.extent ON extent.file_id = revision_file.file_id
                WHERE revision_file.revision_id IN (\(excluded.map { "\($0)" }.joined(separator: ", ")));
                """)
            \(CandidateView.create(\.disk, from: rows))
            """
    }
}
