import GRDB

extension Manifest {
    /// Creates the manifest of a revision again from its rows.
    ///
    /// A manifest is canonical text, so the rows of the files determine it, but for two facts that no row contains:
    /// whether the commit was the hub's, and which files were pending when a provisional manifest was made. Each
    /// possibility is tried, and its digest compared.
    ///
    /// - Returns: the text, whose SHA-256 is `digest`; nil if no revision has the digest, or the rows do not give it.
    package static func restored(_ digest: ContentDigest, _ db: Database) throws -> [UInt8]? {
        guard let revision = try RevisionTable.description(of: digest, db) else { return nil }
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT revision_file.path, file.id, file.pending
                FROM revision_file JOIN file ON file.id = revision_file.file_id
                WHERE revision_file.revision_id = ?
                """, arguments: [revision.id])
        for allPending in revision.isProvisional ? [false, true] : [false] {
            let files = try rows.compactMap { row -> Manifest.File? in
                let isPending: Bool = try row.value("pending")
                guard let content = try content(row.value("id"), asPending: isPending || allPending, db) else {
                    return nil
                }
                return try Manifest.File(path: row.path("path"), content: content)
            }
            guard files.count == rows.count else { return nil }
            for commit in [revision.commit, nil] {
                let text = Manifest(commit: commit, files: files).encoded()
                if text.withUnsafeBytes({ ContentDigest(of: $0) }) == digest { return text }
            }
        }
        return nil
    }

    /// The content of a file, or what a provisional manifest says of one whose bytes are missing.
    private static func content(_ file: Int64, asPending: Bool, _ db: Database) throws -> FileContent? {
        guard let content = try FileContent.find(file, pendingToo: true, db) else { return nil }
        guard asPending else { return content.canonical() }
        return FileContent(
            digest: content.digest, bytes: content.bytes, format: content.format, shards: [], extents: [],
            tensors: content.tensors, rule: content.rule, isPending: true)
    }
}
