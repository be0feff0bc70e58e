import Files
import GRDB
import Storage
import Support
import Synchronization

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
            return try (row.value("commit_id"), row.value("created_at"))
        }
    }

    /// The files, sorted by path.
    package func entries() throws -> [FileEntry] {
        try store.catalog.read { db in
            try Row.mapAll(
                try db.cachedStatement(sql: "\(Self.entryColumns) ORDER BY revision_file.path"), arguments: [id],
                FileEntry.init)
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
    /// range that were never fetched, or that were evicted, are fetched first. If there is no room for them, the value
    /// holds them in memory.
    ///
    /// - Parameters:
    ///   - continuing: whether the caller has read the bytes before the range, too: a shard that crosses the boundary is
    ///     then counted only once.
    ///   - work: cancelling it ends the fetches with `CancellationError`, those of the returned value, too.
    /// - Throws: ``StorageError/missing(path:digest:)`` if a shard of the range is not available, ``FetchError``.
    package func bytes(
        of file: FileEntry, in range: Range<Int>, continuing: Bool = false, work: Work? = nil
    ) throws -> StoredBytes {
        try fetchedBytes(of: file, in: range, continuing: continuing, recovers: true, work: work)
    }

    /// As ``bytes(of:in:continuing:work:)``, for bytes that need no fetch. A read of a blob that was evicted meanwhile, or
    /// is damaged, throws.
    ///
    /// - Returns: nil if some of the bytes were never fetched, or are not stored any more.
    package func storedBytes(
        of file: FileEntry, in range: Range<Int>, continuing: Bool = false
    ) throws -> StoredBytes? {
        let stored = try stored(file, range)
        var end = range.lowerBound
        for run in stored.runs where run.offset <= end { end = max(end, run.offset.adding(saturating: run.length)) }
        guard stored.lost.isEmpty, end >= range.upperBound else { return nil }
        countAccess(to: stored.shards, range, continuing)
        return try StoredBytes(range, runs: stored.runs, hold: hold)
    }

    /// The runs of a file whose blobs are stored, in the order of the file. Not counted as accesses.
    func storedRuns(of path: String) throws -> [StoredBytes.Run] {
        guard let file = try entry(path) else { return [] }
        let stored = try stored(file, 0..<file.bytes)
        return stored.runs.filter { stored.lost[$0.digest] == nil }
    }

    /// As ``bytes(of:in:continuing:work:)``, for callers that fetch again by themselves.
    ///
    /// - Parameters:
    ///   - lost: the error of a read that found a blob missing or damaged; its shard is fetched again.
    ///   - recovers: whether a later read that finds a blob missing or damaged fetches it again; otherwise it throws.
    ///   - work: cancelling it ends the fetch, as ``Store/stopFetching()`` does.
    ///   - arrived: receives bytes that include the range, once, if they are those of one shard: as soon as they have arrived and,
    ///     if the shard has a digest, were compared with it. They are not durable, and the thread is another one. Not called if the
    ///     shard may complete the file, whose digest is then compared first, nor after a call in this process could not store what
    ///     it had passed on of the file: these bytes would never be compared with the file's digest.
    package func fetchedBytes(
        of file: FileEntry, in range: Range<Int>, continuing: Bool = false, after lost: StorageError? = nil,
        recovers: Bool = false, work: Work?, arrived: Arrived? = nil
    ) throws -> StoredBytes {
        guard let arrived else { return try fetchDurably(file, range, continuing, after: lost, recovers, work, nil) }
        let hasArrived = Shared(Mutex(false))
        var isStored = false
        defer {
            if hasArrived.value.withLock({ $0 }), !isStored { _ = store.readWhenStored.withLock { $0.insert(file.id) } }
        }
        let bytes = try fetchDurably(file, range, continuing, after: lost, recovers, work) { bytes in
            if work?.isCancelled == true { return }
            // Another origin may send them again, after a failure to store them.
            let isFirst = hasArrived.value.withLock { hasArrived in
                defer { hasArrived = true }
                return !hasArrived
            }
            if isFirst { arrived(bytes) }
        }
        isStored = bytes.isStored
        return bytes
    }

    private func fetchDurably(
        _ file: FileEntry, _ range: Range<Int>, _ continuing: Bool, after lost: StorageError?, _ recovers: Bool,
        _ work: Work?, _ arrived: Arrived?
    ) throws -> StoredBytes {
        let work = missWork(within: work)
        let fetched: FileEntry
        do {
            fetched = try self.fetched(file, range, work, arrived)
        } catch  where Store.isOutOfSpace(error) {
            return try passThrough(file, range, because: error, work)
        }
        var passed: [ContentDigest: MemoryFile] = [:]
        // Of a damaged blob, the reader waits for the repair.
        if let lost, let digest = lost.lostBlob { passed[digest] = try store.recover(from: lost, work) }
        var stored = try stored(fetched, range)
        // A shard may be evicted again while another one is fetched.
        for _ in 0..<Self.mostRounds {
            let absent = stored.lost.filter { passed[$0.key] == nil }
            if absent.isEmpty { break }
            let evicted = stored.runs.map(\.digest).filter { absent[$0]?.isEvicted == true }
            // Those without a result are fetched below, which also reports why they fail.
            if absent.count > 1 { _ = try GroupFetch(store: store, onUse: true, work: work).run(evicted) }
            for (digest, lost) in absent {
                var receiver: FetchedShard.Receiver?
                if let arrived {
                    receiver = { [self] staged in handOver(range, of: fetched, in: digest, staged, arrived) }
                }
                passed[digest] = try store.recover(from: lost.error, work, arrived: receiver)
            }
            stored = try self.stored(fetched, range)
        }
        if let lost = stored.lost.first(where: { passed[$0.key] == nil }) { throw lost.value.error }
        countAccess(to: stored.shards, range, continuing)
        var recovery: StoredBytes.Recovery?
        if recovers { recovery = { [store] error in try store.recover(from: error, work) } }
        return try StoredBytes(range, runs: stored.runs, hold: hold, substitutes: passed, recovery: recovery)
    }

    /// How often the missing shards of a range are fetched before the read fails.
    private static let mostRounds = 3

    private func countAccess(to shards: [(id: Int64, offset: Int)], _ range: Range<Int>, _ continues: Bool) {
        store.accesses.shards(Set(shards.filter { !continues || $0.offset >= range.lowerBound }.map(\.id)))
    }

    /// Requires that the blobs of a range exist in their sizes, or can be fetched, so that a response does not end before
    /// the range does. Reads no blob.
    ///
    /// - Throws: ``StorageError/missing(path:digest:)``, ``StorageError/damaged(path:digest:expected:found:)``.
    package func requireAvailable(_ file: FileEntry, in range: Range<Int>) throws {
        // Bytes that were never fetched are at an origin, and so are evicted ones.
        for (digest, lost) in try stored(file, range).lost where !lost.isEvicted {
            try store.setAsideIfDamaged(digest, after: lost.error, store.missWork)
            let wanted = try store.catalog.read { db in try WantedShard.find(digest, db) }
            if wanted?.sources.isEmpty ?? true { throw lost.error }
        }
    }

    /// A range of a file of which some bytes were never fetched, read from an origin into memory only. No part of a file
    /// has a digest before it is stored: a reader of the whole file compares it with the file's.
    private func passThrough(
        _ file: FileEntry, _ range: Range<Int>, because refusal: any Error, _ work: Work
    ) throws -> StoredBytes {
        let pending = try store.catalog.read { db in try PendingFile.remote(file.path, of: id, db) }
        guard let remote = pending else { throw refusal }
        let memory = try store.passing.reserve(range.count, because: refusal)
        store.warnOfPassing(refusal)
        try fromNearestModelOrigin { origin in
            let buffer = Buffer(bytes: min(4 << 20, max(range.count, 1)))
            for offset in stride(from: range.lowerBound, to: range.upperBound, by: buffer.capacity) {
                let count = min(buffer.capacity, range.upperBound - offset)
                try origin.read(remote, at: offset, into: buffer.writableBytes(count), work)
                try memory.write(buffer.bytes(count), at: offset - range.lowerBound)
            }
            work.noteSupplier(origin.url.withoutURLSecrets)
        }
        let run = StoredBytes.Run(
            offset: range.lowerBound, length: range.count, blobOffset: 0, blobBytes: range.count, digest: file.digest,
            path: memory.path)
        return try StoredBytes(range, runs: [run], hold: hold, substitutes: [file.digest: memory])
    }

    /// The file, once its bytes in `range` have been fetched; some of their shards may have been evicted since.
    private func fetched(
        _ file: FileEntry, _ range: Range<Int>, _ work: Work, _ arrived: Arrived?
    ) throws -> FileEntry {
        guard try store.catalog.read({ db in try FileTable.isPending(file.id, db) }) else { return file }
        var receiver: ArrivedShard.Receiver?
        if let arrived { receiver = { [self] shard in handOver(range, of: file, shard, arrived) } }
        try fetch(FetchSelection(file: file.path, in: range), work, arrived: receiver)
        guard let entry = try entry(file.path) else {
            throw StorageError.notFound(kind: "file", name: "\(name) \(file.path)")
        }
        return entry
    }

    /// A shard that cannot be read.
    struct LostShard {
        let error: StorageError
        let isEvicted: Bool
    }

    /// The blobs under a range, their shards, and those that are not stored, or not in their size.
    func stored(_ file: FileEntry, _ range: Range<Int>) throws
        -> (runs: [StoredBytes.Run], shards: [(id: Int64, offset: Int)], lost: [ContentDigest: LostShard])
    {
        var shards: [(id: Int64, offset: Int)] = []
        var lost: [ContentDigest: LostShard] = [:]
        let runs = try store.catalog.read { db in
            try Row.mapAll(
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
            ) { row in
                let digest: ContentDigest = try row.value("digest")
                shards.append(try (row.value("id"), row.size("offset")))
                let state: ShardState = try row.word("state")
                if state != .present {
                    lost[digest] = LostShard(
                        error: .missing(path: store.blobs.path(digest), digest: digest), isEvicted: state == .evicted)
                }
                return try StoredBytes.Run(
                    offset: row.size("offset"), length: row.size("length"), blobOffset: row.size("shard_offset"),
                    blobBytes: row.size("bytes"), digest: digest, path: store.blobs.path(digest))
            }
        }
        var last: ContentDigest?
        for run in runs where run.digest != last && lost[run.digest] == nil {
            last = run.digest
            do {
                try FileDescriptor.requireBlob(run.path, digest: run.digest, bytes: run.blobBytes)
            } catch let error as StorageError where error.lostBlob == run.digest {
                lost[run.digest] = LostShard(error: error, isEvicted: false)
            }
        }
        return (runs, shards, lost)
    }
}
