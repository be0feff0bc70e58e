import GRDB

/// The table `claim`: shards that an unfinished import or fetch needs although no file references them yet. This type
/// makes every change to it.
///
/// A claim belongs to a lease and is valid while the lease's process lives: a shard with a claim is never removed. The
/// next removal or collection drops the claims of dead processes (`dropDead`), under the write lock, so that a process
/// that commits a claim is known to be alive. Saving the revision drops its claims (`release`).
package enum ClaimTable {
    /// Adds a claim, and restarts the grace period of an orphan: if the import or fetch that claims it is interrupted,
    /// the shard is kept for the whole period from now.
    package static func claim(_ shard: Int64, lease: String, _ db: Database) throws {
        try claim(CollectionOfOne(shard), lease: lease, db)
    }

    /// Adds claims, as ``claim(_:lease:_:)``.
    package static func claim(_ shards: some Collection<Int64>, lease: String, _ db: Database) throws {
        try db.cachedStatement(sql: "INSERT OR IGNORE INTO claim (shard_id, lease) VALUES (?, ?)")
            .execute(forEach: shards) { shard, values in
                values.add(shard)
                values.add(lease)
            }
        try ShardTable.renewGrace(of: shards, db)
    }

    /// Claims those of the shards that are present.
    ///
    /// - Returns: false if any of them is not present.
    package static func claim(present shards: [ContentDigest], lease: String, _ db: Database) throws -> Bool {
        let present = try shards.compactMap { digest in
            try ShardTable.find(digest, db).flatMap { $0.state == .present ? $0.id : nil }
        }
        try claim(present, lease: lease, db)
        return present.count == shards.count
    }

    /// Whether the shard has a claim.
    package static func isClaimed(_ shard: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM claim WHERE shard_id = ?)"), arguments: [shard])
    }

    /// Drops the claims of a lease on shards that a file references now.
    package static func release(_ lease: String, _ db: Database) throws {
        try db.execute(
            sql: """
                DELETE FROM claim
                WHERE lease = ? AND EXISTS (
                  SELECT 1 FROM shard WHERE shard.id = claim.shard_id AND shard.orphaned_at IS NULL)
                """, arguments: [lease])
    }

    /// Drops claims of leases that are not in `leases`.
    ///
    /// - Parameter limit: the maximal number of rows.
    /// - Returns: how many.
    package static func dropDead(living leases: [String], limit: Int, _ db: Database) throws -> Int {
        // Each lease is one step in the index, so that the many claims of living imports are not read.
        let known = try String.fetchAll(
            db.cachedStatement(
                sql: """
                    WITH RECURSIVE known (lease) AS (
                      SELECT min(lease) FROM claim
                      UNION ALL
                      SELECT (SELECT min(claim.lease) FROM claim WHERE claim.lease > known.lease)
                      FROM known
                      WHERE known.lease IS NOT NULL)
                    SELECT lease FROM known WHERE lease IS NOT NULL
                    """))
        let drop = try db.cachedStatement(
            sql: """
                DELETE FROM claim
                WHERE lease = :lease AND shard_id IN (SELECT shard_id FROM claim WHERE lease = :lease LIMIT :limit)
                """)
        var dropped = 0
        for lease in Set(known).subtracting(leases) where dropped < limit {
            try drop.execute(arguments: ["lease": lease, "limit": limit - dropped])
            dropped += db.changesCount
        }
        return dropped
    }
}
