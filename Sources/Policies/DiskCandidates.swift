import Storage

/// `candidate` on disk: the shards of weights whose files may be evicted now.
///
/// `shard.evictable` states whether an origin has the shard and it is not pinned. The lease files list which revisions
/// living processes use and which claims are valid; the shards of both are in the temporary table `held`, which the
/// view excludes.
package struct DiskCandidates {
    package let database: PolicyDatabase

    /// Opens a separate connection to the catalog and creates the view, as of now.
    package init(_ catalog: String, _ holders: [LeaseDirectory.Holder]) throws {
        database = try PolicyDatabase(catalog)
        try database.execute(Self.setUp(holders, now: StoreClock.now))
    }

    /// The statements that create or refresh the view in a connection.
    ///
    /// - Parameter now: seconds since 1970.
    package static func setUp(_ holders: [LeaseDirectory.Holder], now: Int) -> String {
        func quoted(_ text: String) -> String { "'\(text.replacing("'", with: "''"))'" }
        let uses = Set(holders.flatMap(\.revisions)).map { "(\(quoted($0.model)), x'\($0.digest)')" }
        let leases = holders.map { quoted($0.lease) }
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
                JOIN main.revision ON revision.model_id = model.id AND revision.digest = used.digest
                JOIN main.revision_file ON revision_file.revision_id = revision.id
                JOIN main.extent ON extent.file_id = revision_file.file_id;
                """)
            CREATE TEMP VIEW IF NOT EXISTS candidate AS
            SELECT \(CandidateColumn.select(\.disk))
            FROM main.shard
            WHERE shard.evictable = 1 AND shard.id NOT IN (SELECT shard_id FROM held);
            """
    }
}
