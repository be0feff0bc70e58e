import GRDB
import Storage

extension Revision {
    private static let entryColumns = """
        SELECT revision_file.path, file.bytes, file.digest, file.format, file.id
        FROM revision_file JOIN file ON file.id = revision_file.file_id
        WHERE revision_file.revision_id = ?
        """

    /// The commit, and the time when the revision was stored, in seconds since 1970.
    package func origin() throws -> (commit: String, created: Int) {
        try store.catalog.read { db in
            let row = try Row.fetchOne(
                try db.cachedStatement(sql: "SELECT commit_id, created_at FROM revision WHERE id = ?"), arguments: [id])
            guard let row else { throw StorageError.notFound(kind: "revision", name: name) }
            return (row["commit_id"], row["created_at"])
        }
    }

    /// The files, sorted by path.
    package func entries() throws -> [FileEntry] {
        try store.catalog.read { db in
            try Row.fetchAll(
                try db.cachedStatement(sql: "\(Self.entryColumns) ORDER BY revision_file.path"), arguments: [id]
            ).map(FileEntry.init)
        }
    }

    /// A file of the revision; nil if it has no such file.
    package func entry(_ path: String) throws -> FileEntry? {
        try store.catalog.read { db in
            try Row.fetchOne(
                try db.cachedStatement(sql: "\(Self.entryColumns) AND revision_file.path = ?"), arguments: [id, path]
            ).map(FileEntry.init)
        }
    }

    /// A range of a file's bytes, counted as an access of their shards. The value holds the revision. Shards of the
    /// range that were never fetched, or that were evicted, are fetched first.
    ///
    /// - Parameter continuing: whether the caller has read the bytes before the range, too: a shard that crosses the
    ///   boundary is then counted only once.
    /// - Throws: ``StorageError/missing(path:digest:)`` if a shard of the range is not available, ``FetchError``.
    package func bytes(of file: FileEntry, in range: Range<Int>, continuing: Bool = false) throws -> StoredBytes {
        let file = try fetched(file, range)
        var stored = try stored(file, range)
        if !stored.absent.isEmpty {
            for digest in stored.absent { try store.refetch(digest) }
            stored = try self.stored(file, range)
        }
        if let digest = stored.absent.first {
            throw StorageError.missing(path: store.blobs.path(digest), digest: digest)
        }
        store.accesses.shards(Set(stored.shards.filter { !continuing || $0.offset >= range.lowerBound }.map(\.id)))
        return try StoredBytes(range, runs: stored.runs, hold: hold)
    }

    /// The file, once its bytes in `range` have been fetched; some of their shards may have been evicted since.
    private func fetched(_ file: FileEntry, _ range: Range<Int>) throws -> FileEntry {
        guard try store.catalog.read({ db in try FileTable.isPending(file.id, db) }) else { return file }
        try fetch(FetchSelection(file: file.path, in: range), store.misses)
        guard let entry = try entry(file.path) else {
            throw StorageError.notFound(kind: "file", name: "\(name) \(file.path)")
        }
        return entry
    }

    /// The blobs under a range, their shards, and the digests of those that are not present.
    private func stored(_ file: FileEntry, _ range: Range<Int>) throws
        -> (runs: [StoredBytes.Run], shards: [(id: Int64, offset: Int)], absent: Set<ContentDigest>)
    {
        var shards: [(id: Int64, offset: Int)] = []
        var absent: Set<ContentDigest> = []
        let runs = try store.catalog.read { db in
            try Row.fetchAll(
                try db.cachedStatement(
                    sql: """
                        SELECT extent.offset, extent.length, extent.shard_offset, shard.bytes, shard.digest, shard.state,
                               shard.id
                        FROM extent JOIN shard ON shard.id = extent.shard_id
                        WHERE extent.file_id = :file AND extent.offset < :end
                          AND extent.offset >= coalesce(
                            (SELECT max(offset) FROM extent WHERE file_id = :file AND offset <= :start), 0)
                        ORDER BY extent.offset
                        """),
                arguments: ["file": file.id, "start": range.lowerBound, "end": range.upperBound]
            ).map { row in
                let digest: ContentDigest = row["digest"]
                shards.append((row["id"], row["offset"]))
                if try row.word("state") as ShardState != .present { absent.insert(digest) }
                return StoredBytes.Run(
                    offset: row["offset"], length: row["length"], blobOffset: row["shard_offset"],
                    blobBytes: row["bytes"], digest: digest, path: store.blobs.path(digest))
            }
        }
        return (runs, shards, absent)
    }
}
