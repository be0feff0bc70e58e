import GRDB
import ModelFormats

/// The SQL that makes and finds revisions.
package struct RevisionRow {
    package var id: Int64
    package var model: Int64
    package var modelName: String
    package var digest: ContentDigest
    /// nil while `import --move` is still bringing files in.
    package var version: Int?

    /// How the revision is called in messages: `org/name@v3`.
    package var name: String { "\(modelName)@\(version.map { "v\($0)" } ?? digest.short)" }

    package struct Saved {
        package var id: Int64
        package var model: Int64
        package var version: Int?
        package var wasKnown: Bool
    }

    /// Makes the rows of a revision whose shards are all present, and lets the refs name it.
    ///
    /// - Parameter wanted: the version it is to have; if another revision has it, or if it is nil, it gets the next one.
    package static func save(
        _ manifest: Manifest, digest: ContentDigest, model name: String, source: String, refs: [String],
        origins: [String], partial: Bool, lease: String, version wanted: Int? = nil, _ db: Database
    ) throws -> Saved {
        let now = StoreClock.now
        try db.execute(
            sql: "INSERT INTO model (name, created_at) VALUES (?, ?) ON CONFLICT (name) DO NOTHING",
            arguments: [name, now])
        let model = try Int64.fetchOne(db, sql: "SELECT id FROM model WHERE name = ?", arguments: [name])!
        let known = try Row.fetchOne(
            db, sql: "SELECT id, version FROM revision WHERE model_id = ? AND digest = ?", arguments: [model, digest])
        let id: Int64
        var version: Int? = known?["version"]
        if !partial && version == nil {
            let isFree = try wanted.map { wanted in
                try !Bool.fetchOne(
                    db, sql: "SELECT EXISTS (SELECT 1 FROM revision WHERE model_id = ? AND version = ?)",
                    arguments: [model, wanted])!
            } ?? false
            if isFree {
                version = wanted
                try db.execute(
                    sql: "UPDATE model SET last_version = max(last_version, ?) WHERE id = ?", arguments: [wanted, model])
            } else {
                version = try Int.fetchOne(
                    db, sql: "UPDATE model SET last_version = last_version + 1 WHERE id = ? RETURNING last_version",
                    arguments: [model])
            }
        }
        if let known {
            id = known["id"]
            try db.execute(sql: "UPDATE revision SET version = ? WHERE id = ?", arguments: [version, id])
        } else {
            id = try insert(
                manifest, digest: digest, model: model, version: version, source: source, createdAt: now, db)
            var shards: Set<Int64> = []
            for file in manifest.files {
                let saved = try file.content.save(db)
                shards.formUnion(saved.shards)
                try link(id, file.path, saved.file, db)
            }
            try adopt(shards, db)
        }
        if !partial {
            // What an interrupted --move of the same source had brought in is in this revision, too.
            try db.execute(
                sql: "DELETE FROM revision WHERE model_id = ? AND version IS NULL AND source = ?",
                arguments: [model, source])
        } else {
            try db.execute(
                sql: "DELETE FROM revision WHERE model_id = ? AND version IS NULL AND source = ? AND id <> ?",
                arguments: [model, source, id])
        }
        for ref in refs { try setRef(ref, of: model, to: id, db) }
        if !origins.isEmpty {
            try setOrigins(origins, of: model, db)
            try setRecoverable(id, db)
        }
        try db.execute(
            sql: """
                DELETE FROM claim
                WHERE lease = ? AND EXISTS (
                  SELECT 1 FROM shard WHERE shard.id = claim.shard_id AND shard.orphaned_at IS NULL)
                """, arguments: [lease])
        return Saved(id: id, model: model, version: version, wasKnown: known?["version"] != nil)
    }

    /// Makes the revision's own row.
    package static func insert(
        _ manifest: Manifest, digest: ContentDigest, model: Int64, version: Int?, source: String, createdAt: Int,
        _ db: Database
    ) throws -> Int64 {
        let tensors = manifest.files.flatMap(\.content.tensors)
        let layers = Set(tensors.compactMap { tensor in
            let place = TensorPlace(tensorName: tensor.name)
            return place.layer.map { "\(place.stack ?? "").\($0)" }
        })
        try db.execute(
            sql: """
                INSERT INTO revision
                  (model_id, digest, provisional, version, commit_id, bytes, file_count, tensor_count, layer_count,
                   source, created_at, last_access)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                model, digest, manifest.isPending ? digest : nil, version, manifest.commit ?? String(digest.hex.prefix(40)),
                manifest.files.reduce(0) { $0 + $1.content.bytes }, manifest.files.count, tensors.count,
                layers.count, source, createdAt, createdAt,
            ])
        return db.lastInsertedRowID
    }

    package static func link(_ revision: Int64, _ path: String, _ file: Int64, _ db: Database) throws {
        try db.cachedStatement(sql: "INSERT INTO revision_file (revision_id, path, file_id) VALUES (?, ?, ?)")
            .execute(arguments: [revision, path, file])
    }

    /// The shards are orphans no more. One that a KV block has left is a file's now.
    package static func adopt(_ shards: Set<Int64>, _ db: Database) throws {
        let adopt = try db.cachedStatement(sql: """
            UPDATE shard
            SET orphaned_at = NULL,
                kind = iif(
                  kind = 'kv' AND NOT EXISTS (SELECT 1 FROM kv_block WHERE kv_block.shard_id = shard.id), 'file', kind)
            WHERE id = ?
            """)
        for shard in shards { try adopt.execute(arguments: [shard]) }
    }

    package static func setRef(_ name: String, of model: Int64, to revision: Int64, _ db: Database) throws {
        try db.execute(
            sql: """
                INSERT INTO ref (model_id, name, revision_id, updated_at) VALUES (?, ?, ?, ?)
                ON CONFLICT (model_id, name) DO UPDATE
                SET revision_id = excluded.revision_id, updated_at = excluded.updated_at
                """, arguments: [model, name, revision, StoreClock.now])
    }

    /// The model's origins hold this revision, too.
    package static func setRecoverable(_ revision: Int64, _ db: Database) throws {
        try db.execute(sql: "UPDATE revision SET recoverable = 1 WHERE id = ?", arguments: [revision])
    }

    package static func setOrigins(_ urls: [String], of model: Int64, _ db: Database) throws {
        let known = try String.fetchAll(
            db, sql: "SELECT url FROM origin WHERE model_id = ? ORDER BY position", arguments: [model])
        if known == urls { return }
        try db.execute(sql: "DELETE FROM origin WHERE model_id = ?", arguments: [model])
        for (position, url) in urls.enumerated() {
            try db.execute(
                sql: "INSERT INTO origin (model_id, position, url) VALUES (?, ?, ?)",
                arguments: [model, position, url])
        }
    }

    /// The files, by path, of what an interrupted `import --move` of `source` left.
    package static func partialFiles(model: String, source: String, _ db: Database) throws -> [(String, ContentDigest)] {
        try Row.fetchAll(
            db,
            sql: """
                SELECT revision_file.path, file.digest
                FROM model
                JOIN revision ON revision.model_id = model.id
                JOIN revision_file ON revision_file.revision_id = revision.id
                JOIN file ON file.id = revision_file.file_id
                WHERE model.name = ? AND revision.version IS NULL AND revision.source = ?
                """, arguments: [model, source]
        ).map { ($0[0], $0[1]) }
    }

    // MARK: Finding

    private static let columns = """
        SELECT revision.id, revision.model_id, model.name, revision.digest, revision.version
        FROM revision JOIN model ON model.id = revision.model_id
        """

    private init(_ row: Row) {
        id = row[0]
        model = row[1]
        modelName = row[2]
        digest = row[3]
        version = row[4]
    }

    /// The revision that `text` names: `model`, `model@ref`, `model@v3`, `model@<commit>`, or `model@<digest>`, of
    /// which the first 6 digits do if no other begins so. Without `@` it is the ref `main`, or else the last version.
    package static func find(_ text: String, _ db: Database) throws -> RevisionRow {
        let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let name = parts[0]
        guard let model = try Int64.fetchOne(db, sql: "SELECT id FROM model WHERE name = ?", arguments: [name]) else {
            throw StorageError.notFound(kind: "model", name: name)
        }
        func one(_ condition: String, _ arguments: StatementArguments) throws -> RevisionRow? {
            try Row.fetchOne(db, sql: "\(columns) WHERE \(condition)", arguments: arguments).map(RevisionRow.init)
        }
        func ref(_ name: String) throws -> RevisionRow? {
            try one(
                "revision.id = (SELECT revision_id FROM ref WHERE model_id = ? AND name = ?)", [model, name])
        }
        guard parts.count == 2 else {
            let last = "revision.model_id = ? AND revision.version IS NOT NULL ORDER BY revision.version DESC LIMIT 1"
            if let found = try ref("main") ?? one(last, [model]) { return found }
            throw StorageError.notFound(
                kind: "revision", name: name, detail: "Its import, which moves the files, is not complete; run it again.")
        }
        let rev = parts[1]
        if let found = try ref(rev) { return found }
        if let version = VersionName.parse(rev),
            let found = try one("revision.model_id = ? AND revision.version = ?", [model, version])
        {
            return found
        }
        if CommitName.isValid(rev),
            let found = try one("revision.model_id = ? AND revision.commit_id = ?", [model, rev])
        {
            return found
        }
        let prefix = (rev.hasPrefix("sha256:") ? String(rev.dropFirst(7)) : rev).lowercased()
        if prefix.count >= 6, prefix.count <= 64, prefix.allSatisfy(\.isHexDigit) {
            let low = ContentDigest(hex: prefix + String(repeating: "0", count: 64 - prefix.count))!
            let high = ContentDigest(hex: prefix + String(repeating: "f", count: 64 - prefix.count))!
            let found = try Row.fetchAll(
                db, sql: "\(columns) WHERE revision.model_id = ? AND revision.digest BETWEEN ? AND ?",
                arguments: [model, low, high]
            ).map(RevisionRow.init)
            if found.count == 1 { return found[0] }
            if found.count > 1 { throw StorageError.ambiguous(name: text, matches: found.map(\.digest.short)) }
        }
        throw StorageError.notFound(
            kind: "revision", name: text)
    }

    /// The revisions that a condition on `revision` and `model` chooses.
    package static func all(where condition: String, _ arguments: StatementArguments, _ db: Database) throws -> [RevisionRow] {
        try Row.fetchAll(db, sql: "\(columns) WHERE \(condition)", arguments: arguments).map(RevisionRow.init)
    }

    /// All revisions of a model, those that are complete by version, an unfinished one last.
    package static func all(of model: Int64, _ db: Database) throws -> [RevisionRow] {
        try all(where: "revision.model_id = ? ORDER BY revision.version IS NULL, revision.version", [model], db)
    }
}
