import GRDB
import ModelFormats
import Support

/// The tables `revision` and `revision_file`: the immutable states of models, and the paths of their files. This type
/// makes every change to them.
///
/// **Files, size and counts never change.** These do: the version (once, when `import --move` completes), the digest
/// (once, when the last byte of a pulled revision arrives; `provisional` keeps the first digest), and the access counts.
///
/// A revision without a version belongs to an incomplete `import --move`. It is removed only by a revision that holds
/// all of its files, and by the user. Removing a revision unlinks its files and removes its refs and its pin. Its KV
/// spaces move to another revision for which they are valid; if there is none, their blocks are dropped.
package enum RevisionTable {
    // MARK: Looking up

    /// - Returns: nil if the model has no such revision.
    package static func find(
        _ digest: ContentDigest, of model: Int64, _ db: Database
    ) throws -> (id: Int64, version: Int?)? {
        try Row.fetchOne(
            db, sql: "SELECT id, version FROM revision WHERE model_id = ? AND digest = ?", arguments: [model, digest]
        ).map { try ($0.value("id"), $0.value("version")) }
    }

    /// What is needed to make the manifest of a revision from rows.
    ///
    /// - Returns: nil if no revision has that digest.
    package static func description(of digest: ContentDigest, _ db: Database) throws
        -> (id: Int64, commit: String, isProvisional: Bool)?
    {
        try Row.fetchOne(
            db, sql: "SELECT id, commit_id, digest = provisional AS is_provisional FROM revision WHERE digest = ?",
            arguments: [digest]
        ).map { try ($0.value("id"), $0.value("commit_id"), $0.value("is_provisional") ?? false) }
    }

    /// The digests of all manifests.
    package static func manifests(_ db: Database) throws -> [ContentDigest] {
        try ContentDigest.fetchAll(db, sql: "SELECT DISTINCT digest FROM revision ORDER BY digest")
    }

    /// The digests of the manifests in a range.
    package static func manifests(in digests: ClosedRange<ContentDigest>, _ db: Database) throws -> [ContentDigest] {
        try ContentDigest.fetchAll(
            db.cachedStatement(sql: "SELECT DISTINCT digest FROM revision WHERE digest BETWEEN ? AND ?"),
            arguments: [digests.lowerBound, digests.upperBound])
    }

    /// Whether the revision exists.
    package static func exists(_ revision: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(db, sql: "SELECT EXISTS (SELECT 1 FROM revision WHERE id = ?)", arguments: [revision])
    }

    /// Whether a manifest belongs to a revision of any model.
    package static func hasManifest(_ digest: ContentDigest, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM revision WHERE digest = ?)"), arguments: [digest])
    }

    /// The number of revisions.
    package static func count(_ db: Database) throws -> Int {
        try Int.fetchValue(db.cachedStatement(sql: "SELECT count(*) FROM revision"))
    }

    /// Whether a revision of the model has this version.
    package static func hasVersion(_ version: Int, of model: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db, sql: "SELECT EXISTS (SELECT 1 FROM revision WHERE model_id = ? AND version = ?)",
            arguments: [model, version])
    }

    /// The id of a revision's model; nil if there is no such revision.
    package static func model(of revision: Int64, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(db, sql: "SELECT model_id FROM revision WHERE id = ?", arguments: [revision])
    }

    /// The commit of a revision; nil if there is no such revision.
    package static func commit(of revision: Int64, _ db: Database) throws -> String? {
        try String.fetchOne(
            db.cachedStatement(sql: "SELECT commit_id FROM revision WHERE id = ?"), arguments: [revision])
    }

    /// The digest of a pulled revision before its last byte arrived; nil for a revision that was complete when
    /// inserted.
    package static func provisionalDigest(of revision: Int64, _ db: Database) throws -> ContentDigest? {
        try ContentDigest.fetchOne(db, sql: "SELECT provisional FROM revision WHERE id = ?", arguments: [revision])
    }

    /// The first digest of a revision, which does not change when its last byte arrives.
    package static func initialDigest(of revision: Int64, _ db: Database) throws -> ContentDigest? {
        try ContentDigest.fetchOne(
            db.cachedStatement(sql: "SELECT coalesce(provisional, digest) FROM revision WHERE id = ?"),
            arguments: [revision])
    }

    /// Whether some bytes of a revision's files have not arrived or have not been compared with their digests.
    package static func isPending(_ revision: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(
                sql: """
                    SELECT EXISTS (
                      SELECT 1 FROM revision_file JOIN file ON file.id = revision_file.file_id
                      WHERE revision_file.revision_id = ? AND file.pending)
                    """),
            arguments: [revision])
    }

    /// The paths of a revision's files.
    package static func paths(of revision: Int64, _ db: Database) throws -> [String] {
        try String.fetchAll(db, sql: "SELECT path FROM revision_file WHERE revision_id = ?", arguments: [revision])
    }

    /// The files of a revision.
    package static func files(of revision: Int64, _ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db, sql: "SELECT DISTINCT file_id FROM revision_file WHERE revision_id = ?", arguments: [revision])
    }

    /// The complete file of a revision with a digest; nil if there is none.
    package static func file(_ digest: ContentDigest, of revision: Int64, _ db: Database) throws -> Int64? {
        try Int64.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT file.id FROM revision_file JOIN file ON file.id = revision_file.file_id
                    WHERE revision_file.revision_id = ? AND file.digest = ? AND NOT file.pending
                    """), arguments: [revision, digest])
    }

    /// The digest of the newest complete revision that has a manifest's commit and all of its files; nil if there is
    /// none. A cache of the hub often holds fewer files than the revision has.
    package static func holder(of manifest: Manifest, model: Int64, _ db: Database) throws -> ContentDigest? {
        guard let commit = manifest.commit else { return nil }
        let revisions = try Row.fetchAll(
            db,
            sql: """
                SELECT revision.id, revision.digest
                FROM revision
                WHERE revision.model_id = ? AND revision.commit_id = ? AND revision.version IS NOT NULL
                      AND NOT EXISTS (
                        SELECT 1 FROM revision_file JOIN file ON file.id = revision_file.file_id
                        WHERE revision_file.revision_id = revision.id AND file.pending)
                ORDER BY revision.version DESC
                """, arguments: [model, commit])
        for revision in revisions {
            let files = try Row.fetchAll(
                db,
                sql: """
                    SELECT revision_file.path, file.digest
                    FROM revision_file JOIN file ON file.id = revision_file.file_id
                    WHERE revision_file.revision_id = ?
                    """, arguments: [revision.value("id") as Int64]
            ).reduce(into: [ByteText: ContentDigest]()) {
                try $0[ByteText($1.path("path") as String)] = $1.value("digest")
            }
            if manifest.files.allSatisfy({ files[ByteText($0.path)] == $0.content.digest }) {
                return try revision.value("digest")
            }
        }
        return nil
    }

    /// The revisions that link a file.
    package static func revisions(linking file: Int64, _ db: Database) throws -> [Int64] {
        try Int64.fetchAll(
            db.cachedStatement(sql: "SELECT DISTINCT revision_id FROM revision_file WHERE file_id = ?"),
            arguments: [file])
    }

    // MARK: Inserting and removing

    /// Inserts the row of a revision, without its files.
    package static func insert(
        _ manifest: Manifest, digest: ContentDigest, model: Int64, version: Int?, source: String, createdAt: Int,
        _ db: Database
    ) throws -> Int64 {
        let tensors = manifest.files.flatMap(\.content.tensors)
        let layers = Set(
            tensors.compactMap { tensor -> TensorPlace? in
                var place = TensorPlace(tensorName: tensor.name)
                place.expert = nil
                return place.layer == nil ? nil : place
            })
        try db.execute(
            sql: """
                INSERT INTO revision
                  (model_id, digest, provisional, version, commit_id, bytes, file_count, tensor_count, layer_count,
                   source, created_at, last_access)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                model, digest, manifest.isPending ? digest : nil, version,
                manifest.commit ?? String(digest.hex.prefix(40)),
                manifest.files.saturatingSum(\.content.bytes), manifest.files.count, tensors.count,
                layers.count, source, createdAt, createdAt,
            ])
        return db.lastInsertedRowID
    }

    /// Adds a file to a revision, under a path.
    package static func link(_ revision: Int64, _ path: String, _ file: Int64, _ db: Database) throws {
        try db.cachedStatement(sql: "INSERT INTO revision_file (revision_id, path, file_id) VALUES (?, ?, ?)")
            .execute(arguments: [revision, path, file])
    }

    /// Sets the version.
    package static func setVersion(_ version: Int?, of revision: Int64, _ db: Database) throws {
        try db.execute(sql: "UPDATE revision SET version = ? WHERE id = ?", arguments: [version, revision])
    }

    /// Replaces the digest with that of the final manifest after the last byte has arrived. Does nothing if the digest
    /// is no longer `provisional`.
    package static func setFinalDigest(
        _ digest: ContentDigest, replacing provisional: ContentDigest, of revision: Int64, _ db: Database
    ) throws {
        try db.execute(
            sql: "UPDATE revision SET digest = ? WHERE id = ? AND digest = ?",
            arguments: [digest, revision, provisional])
    }

    /// Removes the unfinished revisions of an `import --move` of a source whose files are all in `revision`. Another
    /// one may hold the only copy of a file, so it stays until the user removes it. Moves that are attached to a
    /// removed revision are attached to `revision`.
    ///
    /// - Returns: the digests of the removed revisions, whose manifests the caller sweeps.
    package static func removeUnfinished(
        of model: Int64, source: String, replacedBy revision: Int64, _ db: Database
    ) throws -> [ContentDigest] {
        let replaced = try Row.fetchAll(
            db,
            sql: """
                SELECT id, digest FROM revision
                WHERE model_id = :model AND version IS NULL AND source = :source AND id <> :revision
                  AND NOT EXISTS (
                    SELECT 1
                    FROM revision_file AS old JOIN file AS old_file ON old_file.id = old.file_id
                    WHERE old.revision_id = revision.id AND old_file.digest NOT IN (
                      SELECT file.digest
                      FROM revision_file JOIN file ON file.id = revision_file.file_id
                      WHERE revision_file.revision_id = :revision))
                """, arguments: ["model": model, "source": source, "revision": revision])
        return try replaced.map { row in
            try MoveTable.attachAll(of: row.value("id"), to: revision, db)
            try remove(row.value("id"), db)
            return try row.value("digest")
        }
    }

    /// Removes a revision. The caller removes its files and the shards of its KV blocks.
    package static func remove(_ revision: Int64, _ db: Database) throws {
        // The files first, while the origins and the pin are there: the triggers then know without reading the other
        // holders which shards become evictable.
        try db.execute(sql: "DELETE FROM revision_file WHERE revision_id = ?", arguments: [revision])
        try db.execute(sql: "DELETE FROM revision WHERE id = ?", arguments: [revision])
    }

    /// Adds a batch of uses.
    ///
    /// - Parameter last: the time of the last use, in seconds since 1970.
    package static func countUses(of revision: Int64, _ count: Int, last: Int, _ db: Database) throws {
        try db.cachedStatement(
            sql: """
                UPDATE revision
                SET access_count = access_count + ?, last_access = max(last_access, ?)
                WHERE id = ?
                """
        ).execute(arguments: [count, last, revision])
    }
}
