import GRDB
import Glibc

extension Store {
    /// Brings a shard back whose file is not there: from the nearest of its models' origins that has it.
    ///
    /// Reading does this by itself. However many ask at once, in this process or another, one fetches, and the others find
    /// the file. It goes the way of an import: staged, hashed, synced, renamed, then a row. Room for it is made by
    /// eviction first; if the quota leaves none, the shard comes in all the same, because what is in use has to be read.
    /// What has come when it ends early is kept, and the next one goes on behind it.
    ///
    /// Blocks: for threads of your own.
    ///
    /// - Parameter isCancelled: is asked now and then; if true, it ends soon with ``StoreError/cancelled``. So it does when
    ///   ``stopFetching()`` is called.
    /// - Throws: ``StoreError/missing(path:digest:)`` if no origin is known to have it; the failure of the last origin
    ///   (``StoreError/originDiffers(origin:digest:found:)``, ``StoreError/originFailed(origin:digest:reason:)``) if none
    ///   could give it.
    public func bringBack(_ digest: Digest, isCancelled: @Sendable () -> Bool = { false }) throws {
        let isCancelled = { self.misses.isCancelled || isCancelled() }
        let lock = try ShardLock(digest, in: path + "/fetch.lock", isCancelled: isCancelled)
        defer { withExtendedLifetime(lock) {} }
        let missing = StoreError.missing(path: blobs.path(digest), digest: digest)
        guard let wanted = try catalog.read({ db in try WantedShard.find(digest, db) }) else { throw missing }
        if wanted.state == .present, FileSystem.exists(blobs.path(digest)) { return }
        var failure: (any Error)?
        guard let first = wanted.sources.first else { throw missing }
        try makeRoomForFetch(wanted.bytes)
        let nearer = nearer.value
        for origin in nearer?.origins(for: first.request) ?? [] {
            if try tryFetch(wanted, first.request, origin.url, isCancelled, { origin }) == nil { return }
        }
        for source in wanted.sources {
            failure = try tryFetch(wanted, source.request, source.url, isCancelled) { try origins.origin(source.url) }
            if failure == nil { return }
        }
        throw failure ?? missing
    }

    /// Ends all fetches of what is used and not here, with ``StoreError/cancelled``, and lets none begin any more: for a
    /// process that is about to end. What has come is kept. Pulls have a progress of their own.
    public func stopFetching() { misses.cancel() }

    /// - Returns: why the shard did not come, if another origin may have it; nil if it came.
    private func tryFetch(
        _ wanted: WantedShard, _ request: ShardRequest, _ url: String, _ isCancelled: () -> Bool,
        _ origin: () throws -> any Origin
    ) throws -> (any Error)? {
        do {
            try fetch(wanted, (url, request), try origin(), isCancelled)
            nearer.value?.heard(from: url, request, nil)
            return nil
        } catch let error as StoreError where error.isNoOrigins {
            throw error
        } catch {
            logger.warning("\(error)")
            nearer.value?.heard(from: url, request, error)
            return error
        }
    }

    private func fetch(
        _ wanted: WantedShard, _ source: (url: String, request: ShardRequest), _ origin: any Origin, _ isCancelled: () -> Bool
    ) throws {
        let digest = wanted.digest
        let start = ContinuousClock.now
        while true {
            let shard = try FetchedShard(try PartialShards(store: path).open(digest), bytes: wanted.bytes)
            try take(shard, wanted, source, origin, isCancelled)
            let found = try shard.finish()
            if found == digest { return try save(shard, digest, seconds: (ContinuousClock.now - start) / .seconds(1)) }
            try shard.remove()
            // What was here before may be to blame: all of it from this one, then.
            guard shard.have > 0 else {
                throw StoreError.originDiffers(origin: source.url, digest: digest, found: "SHA-256 \(found.short)")
            }
        }
    }

    /// Gets the bytes that are missing.
    private func take(
        _ shard: FetchedShard, _ wanted: WantedShard, _ source: (url: String, request: ShardRequest), _ origin: any Origin,
        _ isCancelled: () -> Bool
    ) throws {
        if shard.have == wanted.bytes { return }
        do {
            try origin.fetch(source.request.from(shard.have), isCancelled: isCancelled) { offset, run in
                if isCancelled() { throw StoreError.cancelled }
                try shard.take(offset, run)
            }
        } catch StoreError.diskFull(let path) {
            try shard.remove()
            throw StoreError.diskFull(path: path)
        } catch {
            try shard.abandon()
            if error is StoreError { throw error }
            throw StoreError.originFailed(origin: source.url, digest: wanted.digest, reason: "\(error)")
        }
    }

    private func save(_ shard: FetchedShard, _ digest: Digest, seconds: Double) throws {
        try catalog.write { db in
            // Removed in the meantime: a blob without a row would be garbage.
            guard try ShardRow.find(digest, db) != nil else {
                try shard.remove()
                throw StoreError.missing(path: blobs.path(digest), digest: digest)
            }
            try blobs.install([(shard.staged.path, .init(digest: digest, kind: .shard))])
            try db.execute(
                sql: """
                    UPDATE shard
                    SET state = 'present', inserted_at = :now, verified_at = :now, access_count = 0,
                        fetch_seconds = :seconds, clock = :clock
                    WHERE digest = :digest
                    """,
                arguments: [
                    "now": Clock.now, "seconds": seconds, "clock": try EvictionClock(.weights).now(db), "digest": digest,
                ])
        }
        evictInBackground()
    }

    /// As `bringBack`, for a shard that could not be opened for `error`, which is thrown if no origin has it.
    func bringBack(_ digest: Digest, after error: StoreError) throws {
        do {
            try bringBack(digest)
        } catch StoreError.missing {
            throw error
        }
    }
}

/// A shard, and the places where it can be had, the nearest first.
private struct WantedShard {
    let digest: Digest
    let bytes: Int
    let state: ShardState
    /// Without any the shard can't be had.
    let sources: [(url: String, request: ShardRequest)]

    /// So many places are tried at most.
    private static let mostSources = 16

    static func find(_ digest: Digest, _ db: Database) throws -> WantedShard? {
        guard
            let row = try Row.fetchOne(
                db.cachedStatement(sql: "SELECT id, bytes, state FROM shard WHERE digest = ?"), arguments: [digest])
        else { return nil }
        let shard: Int64 = row[0]
        let bytes: Int = row[1]
        let places = try Row.fetchAll(
            db.cachedStatement(sql: """
                SELECT origin.url, model.name, revision.commit_id, revision_file.path, extent.file_id
                FROM extent
                JOIN revision_file ON revision_file.file_id = extent.file_id
                JOIN revision ON revision.id = revision_file.revision_id
                JOIN origin ON origin.model_id = revision.model_id
                JOIN model ON model.id = revision.model_id
                WHERE extent.shard_id = ? AND revision.recoverable
                GROUP BY origin.url, revision.id
                ORDER BY origin.position, revision.version DESC
                LIMIT \(mostSources)
                """),
            arguments: [shard])
        let sources = try places.map { place in
            let pieces = try Row.fetchAll(
                db.cachedStatement(sql: """
                    SELECT offset, shard_offset, length FROM extent
                    WHERE file_id = ? AND shard_id = ?
                    ORDER BY shard_offset
                    """),
                arguments: [place[4] as Int64, shard]
            ).map { ShardRequest.Piece(fileOffset: $0[0], shardOffset: $0[1], length: $0[2]) }
            return (
                url: place[0] as String,
                request: ShardRequest(
                    digest: digest, bytes: bytes, model: place[1], commit: place[2], path: place[3], pieces: pieces)
            )
        }
        return WantedShard(digest: digest, bytes: bytes, state: ShardState(rawValue: row[2])!, sources: sources)
    }
}

extension StoreError {
    /// Whether trying another origin would not help.
    fileprivate var isNoOrigins: Bool {
        switch self {
        case .diskFull, .catalogDamaged, .cancelled: true
        default: false
        }
    }
}
