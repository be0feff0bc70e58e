import GRDB
import Support

/// Revisions that lack files: of their commit, of an index, of a split model.
///
/// A hub lists all files of a commit, so a revision that was pulled from one is whole. A snapshot of a hub's cache holds
/// the files that a client has requested, and an import may be made of a part of a directory. Whether these are whole is
/// not recorded, but follows from the names of their files, and from the other revisions of their commit.
extension RevisionTable {
    /// The revision with the most files of those that have the commit of a revision, all of its files, and more.
    ///
    /// - Returns: nil if there is none.
    package static func fuller(
        than revision: Int64, _ db: Database
    ) throws -> (id: Int64, version: Int, files: Int)? {
        try Row.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT fuller.id, fuller.version, fuller.file_count
                    FROM revision AS part
                    JOIN revision AS fuller
                      ON fuller.model_id = part.model_id AND fuller.commit_id = part.commit_id
                         AND fuller.file_count > part.file_count AND fuller.version IS NOT NULL
                    WHERE part.id = ?
                      AND NOT EXISTS (
                        SELECT 1
                        FROM revision_file JOIN file ON file.id = revision_file.file_id
                        WHERE revision_file.revision_id = part.id
                          AND NOT EXISTS (
                            SELECT 1
                            FROM revision_file AS other JOIN file AS other_file ON other_file.id = other.file_id
                            WHERE other.revision_id = fuller.id AND other.path = revision_file.path
                                  AND other_file.digest = file.digest))
                    ORDER BY fuller.file_count DESC, fuller.version DESC
                    LIMIT 1
                    """), arguments: [revision]
        ).map { try ($0.value("id"), $0.value("version"), $0.value("file_count")) }
    }

    /// Why files of a revision are missing; nil if none is known to be missing. The text contains no name of a file.
    package static func partialReason(of revision: Int64, _ db: Database) throws -> String? {
        let row = try Row.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT version, file_count, tensor_count, source,
                           \(hasHubCommit) AS is_of_hub,
                           EXISTS (
                             SELECT 1 FROM revision_origin
                             WHERE revision_origin.revision_id = revision.id AND checked_at IS NOT NULL) AS has_origin
                    FROM revision
                    WHERE id = ?
                    """), arguments: [revision])
        guard let row else { return nil }
        let (version, files, tensors): (Int?, Int, Int) = try (
            row.value("version"), row.value("file_count"), row.value("tensor_count")
        )
        if version == nil { return "its import, which moves the files, is not complete" }
        if let fuller = try Self.fuller(than: revision, db) {
            return "version \(fuller.version) has \(fuller.files - files) more of the files of its commit"
        }
        if isListed(source: try row.value("source")) { return nil }
        let paths = try Row.mapAll(
            db.cachedStatement(sql: "SELECT path FROM revision_file WHERE revision_id = ?"), arguments: [revision]
        ) { try $0.path("path") as String }
        let missing = NumberedPart.missing(in: paths)
        if missing.parts > 0 { return "\(missing.parts) of \(missing.of) numbered files are missing" }
        if paths.contains(where: { isIndexWithoutFiles($0, paths) }) { return "no file of its index is there" }
        let (isOfHub, hasOrigin): (Bool, Bool) = try (row.value("is_of_hub"), row.value("has_origin"))
        if isOfHub, !hasOrigin, tensors == 0, !paths.contains(where: isWeights) {
            return "the cache from which it was imported had no weights"
        }
        return nil
    }

    /// Whether a revision has a commit of a hub. Any other has the beginning of its first digest in place of one.
    private static let hasHubCommit =
        "revision.commit_id <> substr(lower(hex(coalesce(revision.provisional, revision.digest))), 1, 40)"

    /// Whether a revision has a commit of a hub.
    package static func isOfHub(_ revision: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM revision WHERE id = ? AND \(hasHubCommit))"),
            arguments: [revision])
    }

    /// Whether a model has a revision of a hub's commit.
    package static func holdsCommit(_ commit: String, of model: Int64, _ db: Database) throws -> Bool {
        try Bool.fetchValue(
            db,
            sql: """
                SELECT EXISTS (
                  SELECT 1 FROM revision WHERE model_id = ? AND commit_id = ? AND \(hasHubCommit))
                """, arguments: [model, commit])
    }

    /// The commit of a revision that may lack files which a hub lists; nil for a revision that was pulled from a hub, and
    /// for one without a hub's commit.
    package static func unlistedCommit(of revision: Int64, _ db: Database) throws -> String? {
        let row = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT commit_id, source FROM revision WHERE id = ? AND \(hasHubCommit)"),
            arguments: [revision])
        guard let row, !isListed(source: try row.value("source")) else { return nil }
        let commit: String = try row.value("commit_id")
        return commit
    }

    /// Whether a revision with a source was pulled from a hub, which lists all files of a commit.
    package static func isListed(source: String) -> Bool {
        source.hasBytePrefix("https://") || source.hasBytePrefix("http://")
    }

    private static let index = ".safetensors.index.json"

    private static func isIndexWithoutFiles(_ path: String, _ paths: [String]) -> Bool {
        guard let beginning = path.dropping(byteSuffix: index) else { return false }
        return !paths.contains { $0.hasBytePrefix(beginning) && $0.hasByteSuffix(".safetensors") }
    }

    /// The extensions of files with weights.
    private static let weights = [
        "bin", "ckpt", "gguf", "h5", "msgpack", "nemo", "npy", "npz", "onnx", "ot", "pb", "pickle", "pkl", "pt", "pth",
        "safetensors", "tflite",
    ].map { "." + $0 }

    /// Whether a file has weights, by the extension of its name.
    package static func isWeights(_ path: String) -> Bool { weights.contains { path.hasByteSuffix($0) } }
}
