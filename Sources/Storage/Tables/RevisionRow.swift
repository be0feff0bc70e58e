import GRDB
import ModelFormats
import Support

/// The identity of a revision.
package struct RevisionRow: Sendable {
    package let id: Int64
    /// The id of the model.
    package let model: Int64
    package let modelName: String
    package let digest: ContentDigest
    /// The version; nil while an `import --move` is incomplete.
    package let version: Int?

    /// The name of the revision in messages, which no ref can have: `org/name@~3`.
    package var name: String { RevisionName.text(modelName, version: version, digest: digest) }

    private static let columns = """
        SELECT revision.id, revision.model_id, model.name AS model, revision.digest, revision.version
        FROM revision JOIN model ON model.id = revision.model_id
        """

    private init(_ row: Row) throws {
        id = try row.value("id")
        model = try row.value("model_id")
        modelName = try row.value("model")
        digest = try row.value("digest")
        version = try row.value("version")
    }

    /// The revision that `text` names: `model`, `model@ref`, `model@~3`, `model@v3`, `model@<commit>` or
    /// `model@<digest>`. A digest may be shortened to a unique prefix of at least 6 digits. Without `@`, the result is
    /// the ref `main`, or else the last version.
    ///
    /// `v3` is the ref of that name if there is one, as on the hub, and version 3 otherwise. `~3` is always version 3.
    /// The digest that a partial pull had at first keeps naming the revision.
    ///
    /// A commit has one content, of which a revision may have a part: a snapshot of a hub's cache may hold fewer files
    /// than a pull. So a commit is the revision with most of its files, and a ref, or the last version, is the fuller
    /// revision of its commit if there is one. `~3`, `v3` and a digest name one revision.
    ///
    /// - Parameter isExact: whether a name that means several revisions is refused, for calls that remove: `v3` if it
    ///   names a ref and another version, and a ref or a commit of which there are several revisions.
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``, ``StorageError/ambiguous(name:matches:)``.
    package static func find(_ text: String, isExact: Bool = false, _ db: Database) throws -> RevisionRow {
        let (name, rev) = parts(text)
        let model = try ModelTable.id(of: name, db)
        func one(_ condition: String, _ arguments: StatementArguments) throws -> RevisionRow? {
            try Row.fetchOne(db, sql: "\(columns) WHERE \(condition)", arguments: arguments).map(RevisionRow.init)
        }
        func version(_ number: Int) throws -> RevisionRow? {
            try one("revision.model_id = ? AND revision.version = ?", [model, number])
        }
        /// The fuller revision of the same commit, if there is one.
        func fullest(_ found: RevisionRow, _ what: String) throws -> RevisionRow {
            guard let id = try RevisionTable.fuller(than: found.id, db)?.id,
                let fuller = try one("revision.id = ?", [id])
            else { return found }
            if isExact {
                throw StorageError.ambiguous(
                    name: text, matches: ["\(what): \(found.name)", "its commit: \(fuller.name)"])
            }
            return fuller
        }
        guard let rev else {
            let last = "revision.model_id = ? AND revision.version IS NOT NULL ORDER BY revision.version DESC LIMIT 1"
            if let found = try ref("main", of: model, db) { return try fullest(found, "ref main") }
            if let found = try one(last, [model]) { return try fullest(found, "last version") }
            throw StorageError.notFound(
                kind: "revision", name: name,
                detail: "The import that moves its files is incomplete; run it again.")
        }
        if let number = VersionName.parseExact(rev) {
            if let found = try version(number) { return found }
            throw StorageError.notFound(kind: "revision", name: text)
        }
        let local = try VersionName.parse(rev).flatMap(version)
        if let found = try ref(rev, of: model, db) {
            if isExact, let local, local.id != found.id {
                throw StorageError.ambiguous(
                    name: text, matches: ["ref \(rev): \(found.name)", "version: \(local.name)"])
            }
            return try fullest(found, "ref \(rev)")
        }
        if let local { return local }
        if CommitName.isValid(rev) {
            let found = try all(
                where: """
                    revision.model_id = ? AND revision.commit_id = ?
                    ORDER BY revision.version IS NULL, revision.file_count DESC, revision.version DESC
                    """, [model, rev], db)
            if isExact, found.count > 1 {
                throw StorageError.ambiguous(name: text, matches: found.map(\.name))
            }
            if let most = found.first { return most }
        }
        let prefix = (rev.dropping(bytePrefix: "sha256:") ?? rev).lowercased()
        if prefix.utf8.count >= 6, let digests = ContentDigest.range(prefix: prefix) {
            let found = try all(
                where: """
                    revision.model_id = :model
                    AND (revision.digest BETWEEN :low AND :high OR revision.provisional BETWEEN :low AND :high)
                    """,
                ["model": model, "low": digests.lowerBound, "high": digests.upperBound], db)
            if let only = found.first, found.count == 1 { return only }
            if found.count > 1 { throw StorageError.ambiguous(name: text, matches: found.map(\.digest.short)) }
        }
        throw StorageError.notFound(kind: "revision", name: text)
    }

    /// Whether a name means a version of this store, while a hub may mean another revision by it: `v3` without a ref of
    /// that name, and a model without the ref `main`. False if the store has no such model or version.
    package static func isLocalName(_ text: String, _ db: Database) throws -> Bool {
        let (name, rev) = parts(text)
        guard let model = try ModelTable.find(name, db) else { return false }
        guard let rev else { return try ref("main", of: model, db) == nil }
        guard let number = VersionName.parse(rev), try ref(rev, of: model, db) == nil else { return false }
        return try RevisionTable.hasVersion(number, of: model, db)
    }

    /// The name of the model, and what follows `@`.
    private static func parts(_ text: String) -> (model: String, revision: String?) {
        let at = text.utf8.firstIndex(of: UInt8(ascii: "@"))
        return (
            String(text[..<(at ?? text.endIndex)]), at.map { String(text[text.utf8.index(after: $0)...]) }
        )
    }

    private static func ref(_ name: String, of model: Int64, _ db: Database) throws -> RevisionRow? {
        try all(
            where: "revision.id = (SELECT revision_id FROM ref WHERE model_id = ? AND name = ?)", [model, name], db
        ).first
    }

    /// The revisions that match a condition on `revision` and `model`.
    package static func all(where condition: String, _ arguments: StatementArguments, _ db: Database) throws
        -> [RevisionRow]
    {
        try Row.mapAll(db, sql: "\(columns) WHERE \(condition)", arguments: arguments, RevisionRow.init)
    }

    /// All revisions of a model by version, an incomplete one last.
    package static func all(of model: Int64, _ db: Database) throws -> [RevisionRow] {
        try all(where: "revision.model_id = ? ORDER BY revision.version IS NULL, revision.version", [model], db)
    }
}
