import GRDB

extension Manifest {
    /// Creates the manifest of a revision again from its rows.
    ///
    /// A manifest is canonical text, so the rows of the files determine it, except for two facts that no row contains.
    /// Both are found by trying each possibility and comparing the digest:
    ///
    /// * whether the commit was the hub's;
    /// * for a provisional manifest, which of the files that are whole now were pending when it was made. Files arrive
    ///   in the order of the largest row id of their shards, so the ones that were whole then are the first in this
    ///   order. Only their number must be tried, the largest first.
    ///
    /// - Returns: the text, whose SHA-256 is `digest`; nil if no revision has the digest, or the rows do not give it: a
    ///   file that arrived later may consist of shards that were stored before.
    package static func restored(_ digest: ContentDigest, _ db: Database) throws -> [UInt8]? {
        guard let revision = try RevisionTable.description(of: digest, db) else { return nil }
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT revision_file.path, file.id, file.pending,
                       (SELECT max(extent.shard_id) FROM extent WHERE extent.file_id = file.id) AS last_shard
                FROM revision_file JOIN file ON file.id = revision_file.file_id
                WHERE revision_file.revision_id = ?
                ORDER BY file.pending, last_shard
                """, arguments: [revision.id])
        let arrived = try rows.filter { try !($0.value("pending") as Bool) }.count
        let files = try rows.compactMap { row -> Manifest.File? in
            guard let content = try FileContent.find(row.value("id") as Int64, pendingToo: true, db) else { return nil }
            return try Manifest.File(path: row.path("path"), content: content)
        }
        guard files.count == rows.count else { return nil }
        for whole in (revision.isProvisional ? 0...arrived : arrived...arrived).reversed() {
            let described = files.enumerated().map { number, file in
                Manifest.File(
                    path: file.path, content: number < whole ? file.content.canonical() : asPending(file.content))
            }
            for commit in [revision.commit, nil] {
                let text = Manifest(commit: commit, files: described).encoded()
                if text.withUnsafeBytes({ ContentDigest(of: $0) }) == digest { return text }
            }
        }
        return nil
    }

    /// What a provisional manifest says of a file whose bytes are missing.
    private static func asPending(_ content: FileContent) -> FileContent {
        FileContent(
            digest: content.digest, bytes: content.bytes, format: content.format, shards: [], extents: [],
            tensors: content.tensors, rule: content.rule, isPending: true)
    }
}
