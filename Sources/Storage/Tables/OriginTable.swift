import GRDB
import Support

/// An origin of a revision, as the catalog records it.
package struct OriginEntry: Sendable, Equatable {
    package var url: String
    /// When the origin was last seen to hold the revision, in seconds since 1970; nil if it never was, or was seen to
    /// lack it since.
    package var checkedAt: Int?
    /// When the origin was last seen to lack the revision, in seconds since 1970; nil if it never was, or was seen to
    /// hold it since.
    package var absentAt: Int?

    package init(url: String, checkedAt: Int? = nil, absentAt: Int? = nil) {
        self.url = url
        self.checkedAt = checkedAt
        self.absentAt = absentAt
    }
}

/// The table `revision_origin`: the URLs from which a revision can be fetched, the nearest first. This type makes every
/// change to it.
///
/// **Origins belong to revisions**: that an origin holds one version of a model says nothing about another, because a
/// directory can change in place.
///
/// **`checked_at` is evidence.** It is set when the origin was seen to hold the revision: the revision was fetched from
/// it, a check found it there, or the user vouched for it. A shard may be evicted only if each revision that holds it
/// has a checked origin; triggers keep `shard.evictable` so. A check that finds the revision gone sets `absent_at`
/// instead. A check without an answer changes nothing.
///
/// Evidence that may be outdated is forgotten (`forgetChecks`): a move takes files out of a directory that is an
/// origin, a directory is given as the origin of another revision, or the catalog is an older one or rebuilt.
package enum OriginTable {
    /// Replaces the origins of a revision.
    package static func set(_ origins: [OriginEntry], of revision: Int64, _ db: Database) throws {
        for (position, origin) in origins.enumerated() {
            try db.execute(
                sql: """
                    INSERT INTO revision_origin (revision_id, url, position, checked_at, absent_at) VALUES (?, ?, ?, ?, ?)
                    ON CONFLICT (revision_id, url) DO UPDATE
                    SET position = excluded.position, checked_at = excluded.checked_at, absent_at = excluded.absent_at
                    """, arguments: [revision, origin.url, position, origin.checkedAt, origin.absentAt])
        }
        // Afterwards, so that the revision is not without a checked origin in between.
        for old in try all(of: revision, db) where !origins.contains(where: { ByteText($0.url) == ByteText(old.url) }) {
            _ = try remove(old.url, of: revision, db)
        }
    }

    /// Adds origins to a revision, nearer than those it has. A known origin moves to the front.
    ///
    /// - Parameter checkedAt: when they were seen to hold the revision; nil keeps what is known of them.
    package static func add(_ urls: [String], to revision: Int64, checkedAt: Int?, _ db: Database) throws {
        let first = try Int.fetchValue(
            db, sql: "SELECT coalesce(min(position), 0) FROM revision_origin WHERE revision_id = ?",
            arguments: [revision])
        for (index, url) in urls.enumerated() {
            try insert(url, to: revision, position: first - urls.count + index, checkedAt: checkedAt, moves: true, db)
        }
    }

    /// Adds an origin to a revision, farther than those it has. A known origin stays where it is.
    ///
    /// - Parameter checkedAt: when it was seen to hold the revision; nil keeps what is known of it.
    package static func append(_ url: String, to revision: Int64, checkedAt: Int?, _ db: Database) throws {
        let next = try Int.fetchValue(
            db, sql: "SELECT coalesce(max(position) + 1, 0) FROM revision_origin WHERE revision_id = ?",
            arguments: [revision])
        try insert(url, to: revision, position: next, checkedAt: checkedAt, moves: false, db)
    }

    private static func insert(
        _ url: String, to revision: Int64, position: Int, checkedAt: Int?, moves: Bool, _ db: Database
    ) throws {
        try db.execute(
            sql: """
                INSERT INTO revision_origin (revision_id, url, position, checked_at)
                VALUES (:revision, :url, :position, :checkedAt)
                ON CONFLICT (revision_id, url) DO UPDATE
                SET position = iif(:moves, excluded.position, position),
                    checked_at = coalesce(excluded.checked_at, checked_at),
                    absent_at = iif(excluded.checked_at IS NULL, absent_at, NULL)
                """,
            arguments: [
                "revision": revision, "url": url, "position": position, "checkedAt": checkedAt, "moves": moves,
            ])
    }

    /// Removes an origin of a revision.
    ///
    /// - Returns: whether the revision had it.
    package static func remove(_ url: String, of revision: Int64, _ db: Database) throws -> Bool {
        try db.execute(
            sql: "DELETE FROM revision_origin WHERE revision_id = ? AND url = ?", arguments: [revision, url])
        return db.changesCount > 0
    }

    /// Records that an origin was seen to hold a revision, or to lack it. Does nothing if the revision no longer has
    /// the origin.
    ///
    /// - Parameter moment: seconds since 1970.
    package static func recordCheck(
        of url: String, revision: Int64, holds: Bool, at moment: Int, _ db: Database
    ) throws {
        try db.cachedStatement(
            sql: """
                UPDATE revision_origin SET checked_at = ?, absent_at = ? WHERE revision_id = ? AND url = ?
                """
        ).execute(arguments: [holds ? moment : nil, holds ? nil : moment, revision, url])
    }

    /// The checked origins.
    package static func checkedURLs(_ db: Database) throws -> [String] {
        try String.fetchAll(
            db.cachedStatement(sql: "SELECT DISTINCT url FROM revision_origin WHERE checked_at IS NOT NULL"))
    }

    /// Forgets that origins were seen to hold revisions: what is known of them may be outdated, so that the next eviction
    /// checks them.
    ///
    /// - Parameters:
    ///   - url: one origin, because it changes or has changed; nil for all.
    ///   - kept: a revision that was just found there.
    package static func forgetChecks(of url: String? = nil, except kept: Int64? = nil, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE revision_origin SET checked_at = NULL
                WHERE checked_at IS NOT NULL AND (:url IS NULL OR url = :url) AND revision_id IS NOT :kept
                """
        ).execute(arguments: ["url": url, "kept": kept])
    }

    /// The origins of a revision, the nearest first.
    package static func all(of revision: Int64, _ db: Database) throws -> [OriginEntry] {
        try Row.mapAll(
            db.cachedStatement(
                sql: """
                    SELECT url, checked_at, absent_at FROM revision_origin WHERE revision_id = ? ORDER BY position, url
                    """), arguments: [revision]
        ) {
            try OriginEntry(url: $0.value("url"), checkedAt: $0.value("checked_at"), absentAt: $0.value("absent_at"))
        }
    }

    /// The origins of a model's revisions: those of the newest revision first, and of a revision the nearest first.
    package static func urls(of model: Int64, _ db: Database) throws -> [String] {
        var urls: [String] = []
        let rows = try String.fetchCursor(
            db,
            sql: """
                SELECT revision_origin.url
                FROM revision JOIN revision_origin ON revision_origin.revision_id = revision.id
                WHERE revision.model_id = ?
                ORDER BY revision.version DESC, revision.id DESC, revision_origin.position, revision_origin.url
                """, arguments: [model])
        while let url = try rows.next() {
            if !urls.contains(where: { ByteText($0) == ByteText(url) }) { urls.append(url) }
        }
        return urls
    }

    /// The origins of a model's revisions, as ``urls(of:_:)``; empty if the model does not exist.
    package static func urls(ofModel name: String, _ db: Database) throws -> [String] {
        try ModelTable.find(name, db).map { try urls(of: $0, db) } ?? []
    }

    /// The revisions whose shards may become evictable by a check of an origin: they have origins, none of which is
    /// checked, and no pin.
    ///
    /// - Parameter moment: a time in seconds since 1970. An origin that was seen to lack the revision since then does
    ///   not count.
    package static func uncheckedRevisions(absentBefore moment: Int, _ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db,
            sql: """
                SELECT DISTINCT revision_origin.revision_id
                FROM revision_origin INDEXED BY revision_origin_unchecked
                WHERE revision_origin.checked_at IS NULL
                      AND (revision_origin.absent_at IS NULL OR revision_origin.absent_at < ?)
                      AND NOT EXISTS (
                        SELECT 1 FROM revision_origin AS other
                        WHERE other.revision_id = revision_origin.revision_id AND other.checked_at IS NOT NULL)
                      AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.revision_id = revision_origin.revision_id)
                ORDER BY revision_origin.revision_id DESC
                """, arguments: [moment])
    }

    /// The time of the newest check that found the revision at an origin, in seconds since 1970; nil if no origin is
    /// checked.
    package static func lastCheck(of revision: Int64, _ db: Database) throws -> Int? {
        try Int.fetchOne(
            db.cachedStatement(sql: "SELECT max(checked_at) FROM revision_origin WHERE revision_id = ?"),
            arguments: [revision])
    }
}
