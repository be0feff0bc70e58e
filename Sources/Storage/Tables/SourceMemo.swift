import Files
import GRDB

/// What is remembered of source files, so that what is safe already is not hashed again.
///
/// A file is taken for unchanged if device, inode, size and both times are what they were, as `make` and `git` do.
/// The change time can't be set back by `touch`, and a file that changed within the clock's tick before it was read
/// is not remembered at all (see `FileIngest.memo`).
package struct SourceMemo {
    /// The digest of the whole file, if all of it was read.
    package var digest: ContentDigest?
    /// The shards that are safe, by their ordinals in the file's plan.
    package var shards: [Int: ShardFacts]

    package static func find(_ status: FileStatus, _ db: Database) throws -> SourceMemo? {
        guard
            let row = try Row.fetchOne(
                try db.cachedStatement(sql: """
                    SELECT id, digest FROM source
                    WHERE device = ? AND inode = ? AND bytes = ? AND modified_ns = ? AND changed_ns = ?
                    """),
                arguments: [status.device, status.inode, status.bytes, status.modified, status.changed])
        else { return nil }
        let rows = try Row.fetchAll(
            try db.cachedStatement(sql: """
                SELECT source_shard.ordinal, shard.digest, shard.bytes, shard.kind, shard.layer, shard.head
                FROM source_shard JOIN shard ON shard.id = source_shard.shard_id
                WHERE source_shard.source_id = ? AND shard.state = 'present'
                """),
            arguments: [row["id"] as Int64])
        let shards = try rows.map { (ordinal: $0[0] as Int, facts: try ShardFacts(row: $0, from: 1)) }
        return SourceMemo(
            digest: row["digest"], shards: Dictionary(shards.map { ($0.ordinal, $0.facts) }) { first, _ in first })
    }

    /// The row of a source file; what is remembered of an older state of it is dropped.
    package static func row(for status: FileStatus, _ db: Database) throws -> Int64 {
        let facts: StatementArguments = [
            status.device, status.inode, status.bytes, status.modified, status.changed,
        ]
        try db.cachedStatement(sql: """
            DELETE FROM source
            WHERE device = ? AND inode = ? AND (bytes <> ? OR modified_ns <> ? OR changed_ns <> ?)
            """).execute(arguments: facts)
        return try Int64.fetchOne(
            try db.cachedStatement(sql: """
                INSERT INTO source (device, inode, bytes, modified_ns, changed_ns, seen_at) VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT (device, inode) DO UPDATE SET seen_at = excluded.seen_at
                RETURNING id
                """),
            arguments: facts + [StoreClock.now])!
    }
}

extension ShardFacts {
    /// From five columns of `shard`: digest, bytes, kind, layer, head.
    package init(row: Row, from column: Int) throws {
        self.init(
            digest: row[column], bytes: row[column + 1], kind: ShardKind(rawValue: row[column + 2])!,
            layer: row[column + 3], head: row[column + 4])
    }
}
