import GRDB
import Storage

/// A revision with its expected uses.
struct PopularRevision: Sendable {
    let id: Int64
    let model: String
    let digest: ContentDigest
    let version: Int?
    /// Expected uses of the whole revision.
    var uses = 0.0
    /// Of these, the uses of revisions that it replaced, which the heat of its shards does not include.
    var inherited = 0.0

    /// `org/name@~3`.
    var name: String { RevisionName.text(model, version: version, digest: digest) }
}

/// The popularity of revisions, computed from the access counts of shards.
///
/// `shard.heat` counts the uses of a shard, each halved for every day that has passed. Shards that only one revision
/// holds were used only by it, so the `uses` of a revision are the mean heat, by bytes, of its shards with the fewest
/// holders. An unused fine-tune thus stays unpopular beside a popular base, and an engine that streams layers all day
/// counts each pass.
///
/// A new version has no uses of its own. If no ref names an old revision any more, and it was not used since the refs
/// moved, its uses pass to the revision that the model's name stands for.
enum Popularity {
    /// The used revisions, most used first.
    static func all(now: Int, _ db: Database) throws -> [PopularRevision] {
        let rows = try Row.fetchAll(
            db,
            sql: """
                WITH held AS MATERIALIZED (
                  SELECT DISTINCT revision.id AS revision_id, extent.shard_id
                  FROM revision
                  JOIN revision_file ON revision_file.revision_id = revision.id
                  JOIN extent ON extent.file_id = revision_file.file_id
                  WHERE revision.access_count > 0
                ), holders AS MATERIALIZED (
                  SELECT shard_id, count(*) AS revisions FROM held GROUP BY shard_id
                ), shares AS (
                  SELECT held.revision_id, holders.revisions,
                         sum(\(heat) * shard.bytes) / sum(shard.bytes) AS uses
                  FROM held
                  JOIN holders ON holders.shard_id = held.shard_id
                  JOIN shard ON shard.id = held.shard_id
                  WHERE shard.kind IN ('tensor', 'pack')
                  GROUP BY held.revision_id, holders.revisions
                ), rarest AS (
                  SELECT revision_id, min(revisions), uses FROM shares GROUP BY revision_id
                )
                SELECT revision.id, model.name AS model, revision.digest, revision.version, rarest.uses,
                       revision.last_access,
                       EXISTS (SELECT 1 FROM ref WHERE ref.revision_id = revision.id) AS named,
                       (SELECT max(updated_at) FROM ref WHERE ref.model_id = model.id) AS moved
                FROM rarest
                JOIN revision ON revision.id = rarest.revision_id
                JOIN model ON model.id = revision.model_id
                WHERE rarest.uses > 0
                ORDER BY rarest.uses DESC, revision.last_access DESC, model.name, revision.id
                """, arguments: ["now": now])
        var popular: [PopularRevision] = []
        for row in rows {
            var revision = try PopularRevision(
                id: row.value("id"), model: row.value("model"), digest: row.value("digest"),
                version: row.value("version"), uses: row.value("uses"))
            let (lastAccess, isNamed, moved): (Int, Bool, Int?) = try (
                row.value("last_access"), row.value("named"), row.value("moved")
            )
            if !isNamed, let moved, lastAccess <= moved {
                let uses = revision.uses
                revision = PopularRevision(try RevisionRow.find(revision.model, db))
                revision.uses = uses
                revision.inherited = uses
            }
            if let known = popular.firstIndex(where: { $0.id == revision.id }) {
                popular[known].uses += revision.uses
                popular[known].inherited += revision.inherited
            } else {
                popular.append(revision)
            }
        }
        return popular.enumerated().sorted { ($1.element.uses, $0.offset) < ($0.element.uses, $1.offset) }.map(
            \.element)
    }

    /// The shards of a revision, without those that were never fetched.
    ///
    /// - Parameter isWhole: whether files without tensors are included.
    static func shards(of revision: Int64, isWhole: Bool, now: Int, _ db: Database) throws -> [WarmShard] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT shard.digest, shard.bytes, shard.layer, shard.state = 'present' AS is_present,
                           \(heat) AS uses, shard.fetch_seconds,
                           shard.state = 'present' OR EXISTS (
                             SELECT 1
                             FROM extent AS place
                             JOIN revision_file AS path ON path.file_id = place.file_id
                             JOIN revision_origin ON revision_origin.revision_id = path.revision_id
                             WHERE place.shard_id = shard.id AND revision_origin.absent_at IS NULL) AS is_available,
                           shard.kind = 'file' AS is_file
                    FROM revision_file
                    JOIN extent ON extent.file_id = revision_file.file_id
                    JOIN shard ON shard.id = extent.shard_id
                    WHERE revision_file.revision_id = :revision AND (:whole OR shard.kind IN ('tensor', 'pack'))
                    GROUP BY shard.id
                    ORDER BY shard.id
                    """),
            arguments: ["revision": revision, "whole": isWhole, "now": now]
        ) { row in
            try WarmShard(
                digest: row.value("digest"), bytes: row.size("bytes"), layer: row.ordinal("layer"),
                isFile: row.value("is_file"),
                isPresent: row.value("is_present"), isAvailable: row.value("is_available"), uses: row.value("uses"),
                fetchSeconds: row.value("fetch_seconds"))
        }
    }

    /// The heat of single shards; 0 for unknown ones.
    static func uses(of digests: some Sequence<ContentDigest>, now: Int, _ db: Database) throws -> [ContentDigest:
        Double]
    {
        let statement = try db.cachedStatement(sql: "SELECT \(heat) FROM shard WHERE digest = :digest")
        var uses: [ContentDigest: Double] = [:]
        for digest in digests {
            uses[digest] = try Double.fetchOne(statement, arguments: ["digest": digest, "now": now]) ?? 0
        }
        return uses
    }

    /// Bytes of a revision's files that were never fetched.
    static func pendingBytes(of revision: Int64, _ db: Database) throws -> Int {
        try Int.fetchValue(
            db.cachedStatement(
                sql: """
                    SELECT coalesce(sum(file.bytes - (
                      SELECT coalesce(sum(length), 0) FROM extent WHERE extent.file_id = file.id)), 0)
                    FROM revision_file JOIN file ON file.id = revision_file.file_id
                    WHERE revision_file.revision_id = ? AND file.pending
                    """), arguments: [revision])
    }

    private static let heat = "shard.heat * pow(0.5, max(:now - shard.last_access, 0) / \(Heat.halfLife))"
}

extension PopularRevision {
    init(_ row: RevisionRow) {
        self.init(id: row.id, model: row.modelName, digest: row.digest, version: row.version)
    }
}
