import Crypto
import GRDB
import Support

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
        // Each file is encoded once: a model has hundreds of files, and each number of them is tried.
        var files: [(path: ByteText, number: Int, whole: [UInt8], pending: [UInt8])] = []
        for (number, row) in rows.enumerated() {
            guard let content = try FileContent.find(row.value("id") as Int64, pendingToo: true, db) else { return nil }
            let path = try row.path("path")
            files.append(
                (
                    ByteText(path), number, Manifest.File(path: path, content: content.canonical()).encoded(),
                    Manifest.File(path: path, content: asPending(content)).encoded()
                ))
        }
        files.sort { $0.path < $1.path }
        let heads = [revision.commit, nil].map { head(commit: $0) }
        for whole in (revision.isProvisional ? 0...arrived : arrived...arrived).reversed() {
            for head in heads {
                let parts = [head] + files.map { $0.number < whole ? $0.whole : $0.pending }
                var hasher = SHA256()
                for part in parts { part.withUnsafeBytes { hasher.update(bufferPointer: $0) } }
                if ContentDigest(hasher.finalize()) == digest { return Array(parts.joined()) }
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
