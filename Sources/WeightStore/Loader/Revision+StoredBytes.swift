import GRDB

/// A file of a revision, as far as its one row tells.
package struct FileEntry: Sendable, Hashable {
    package let path: String
    package let bytes: Int
    /// The SHA-256 of the whole file.
    package let digest: Digest
    /// `safetensors`, `gguf` or `other`.
    package let format: String
    let id: Int64
}

extension Revision {
    private static let entryColumns = """
        SELECT revision_file.path, file.bytes, file.digest, file.format, file.id
        FROM revision_file JOIN file ON file.id = revision_file.file_id
        WHERE revision_file.revision_id = ?
        """

    /// The commit, and when the revision came into the store, in seconds since 1970.
    package func origin() throws -> (commit: String, created: Int) {
        try store.catalog.read { db in
            let row = try Row.fetchOne(
                try db.cachedStatement(sql: "SELECT commit_id, created_at FROM revision WHERE id = ?"), arguments: [id])
            guard let row else { throw StoreError.notFound(kind: "revision", name: name, hint: "") }
            return (row[0], row[1])
        }
    }

    /// The files, by path.
    package func entries() throws -> [FileEntry] {
        try store.catalog.read { db in
            try Row.fetchAll(
                try db.cachedStatement(sql: "\(Self.entryColumns) ORDER BY revision_file.path"), arguments: [id]
            ).map(FileEntry.init)
        }
    }

    /// - Returns: nil if the revision has no such file.
    package func entry(_ path: String) throws -> FileEntry? {
        try store.catalog.read { db in
            try Row.fetchOne(
                try db.cachedStatement(sql: "\(Self.entryColumns) AND revision_file.path = ?"), arguments: [id, path]
            ).map(FileEntry.init)
        }
    }

    /// Some bytes of a file, and a use of their shards. The revision is held as long as the value lives. What an origin
    /// has, and is not here, is fetched first: the shards of these bytes that have never come, or that were evicted.
    ///
    /// - Parameter continuing: the bytes before them were asked for, too: a shard that holds some of both counts as used
    ///   once.
    /// - Throws: ``StoreError/missing(path:digest:)`` if a shard under them can't be had, ``FetchError``.
    package func bytes(of file: FileEntry, in range: Range<Int>, continuing: Bool = false) throws -> StoredBytes {
        let file = try fetched(file, range)
        var stored = try stored(file, range)
        if !stored.absent.isEmpty {
            for digest in stored.absent { try store.bringBack(digest) }
            stored = try self.stored(file, range)
        }
        if let digest = stored.absent.first {
            throw StoreError.missing(path: store.blobs.path(digest), digest: digest)
        }
        store.accesses.shards(Set(stored.shards.filter { !continuing || $0.offset >= range.lowerBound }.map(\.id)))
        return StoredBytes(range, runs: stored.runs, hold: hold)
    }

    /// The file, with the bytes here or known to have been.
    private func fetched(_ file: FileEntry, _ range: Range<Int>) throws -> FileEntry {
        let isPending = try store.catalog.read { db in
            try Bool.fetchOne(
                try db.cachedStatement(sql: "SELECT pending FROM file WHERE id = ?"), arguments: [file.id]) ?? true
        }
        guard isPending else { return file }
        try fetch(FetchSelection(file: file.path, in: range))
        guard let entry = try entry(file.path) else {
            throw StoreError.notFound(kind: "file", name: "\(name) \(file.path)", hint: "")
        }
        return entry
    }

    /// Where the bytes lie, and which of the shards are not here.
    private func stored(_ file: FileEntry, _ range: Range<Int>) throws
        -> (runs: [StoredBytes.Run], shards: [(id: Int64, offset: Int)], absent: Set<Digest>)
    {
        var shards: [(id: Int64, offset: Int)] = []
        var absent: Set<Digest> = []
        let runs = try store.catalog.read { db in
            try Row.fetchAll(
                try db.cachedStatement(sql: """
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
                let digest: Digest = row[4]
                shards.append((row[6], row[0]))
                if row[5] != ShardState.present.rawValue { absent.insert(digest) }
                return StoredBytes.Run(
                    offset: row[0], length: row[1], blobOffset: row[2], blobBytes: row[3], digest: digest,
                    path: store.blobs.path(digest))
            }
        }
        return (runs, shards, absent)
    }
}

extension Store {
    /// A whole shard of weights: a KV block is its tenant's, and is given to nobody by its digest.
    ///
    /// - Returns: nil if it is not present.
    package func shard(_ digest: Digest) throws -> StoredBytes? {
        let row = try catalog.read { db in
            try Row.fetchOne(
                try db.cachedStatement(sql: "SELECT bytes, id FROM shard WHERE digest = ? AND state = 'present' AND kind <> 'kv'"),
                arguments: [digest])
        }
        guard let row else { return nil }
        accesses.shards([row[1]])
        return whole(digest, .shard, bytes: row[0])
    }

    /// The manifest of a revision.
    ///
    /// - Returns: nil if no revision has that digest.
    package func manifest(_ digest: Digest) throws -> StoredBytes? {
        let isKnown = try catalog.read { db in
            try Bool.fetchOne(
                try db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM revision WHERE digest = ?)"),
                arguments: [digest])!
        }
        guard isKnown, let status = try FileSystem.status(blobs.path(digest, .manifest)) else { return nil }
        return whole(digest, .manifest, bytes: status.bytes)
    }

    private func whole(_ digest: Digest, _ kind: BlobDirectory.Kind, bytes: Int) -> StoredBytes {
        let run = StoredBytes.Run(
            offset: 0, length: bytes, blobOffset: 0, blobBytes: bytes, digest: digest, path: blobs.path(digest, kind))
        return StoredBytes(0..<bytes, runs: [run], hold: nil)
    }
}

extension FileEntry {
    fileprivate init(_ row: Row) {
        path = row[0]
        bytes = row[1]
        digest = row[2]
        format = row[3]
        id = row[4]
    }
}
