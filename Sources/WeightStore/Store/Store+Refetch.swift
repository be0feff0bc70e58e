import Files
import GRDB
import Glibc
import Storage
import Support

extension Store {
    /// Fetches an absent shard from the nearest of its models' origins that has it. Does nothing if the shard is
    /// present.
    ///
    /// Concurrent calls for one shard, in this process or another, make one fetch. As in an import, the bytes are staged,
    /// hashed, synced and renamed before the row is committed. Other shards are evicted first if the quota has no room.
    /// An interrupted fetch keeps its bytes, and the next one resumes after them.
    ///
    /// Blocks: call it on a thread outside of Swift's cooperative pool.
    ///
    /// - Parameters:
    ///   - digest: the digest of the shard.
    ///   - work: cancelling it ends the fetch with `CancellationError`; ``stopFetching()`` does so, too.
    /// - Throws: ``StoreError/quotaFull(quota:stored:requested:evictable:)`` or
    ///   ``FileError/diskFull(path:lacksInodes:)`` if there is no room for it; ``StorageError/missing(path:digest:)``
    ///   if no origin is known to have the shard. If the only origin fails, its error: ``FetchError``,
    ///   ``StoreError/originDiffers(origin:digest:found:)`` or ``StoreError/originFailed(origin:digest:reason:)``; if
    ///   several fail, ``StoreError/originsFailed(_:)``.
    public func refetch(_ digest: ContentDigest, work: Work = Work()) throws {
        try refetch(digest, onUse: true, work)
    }

    /// As ``refetch(_:work:)``.
    ///
    /// - Parameters:
    ///   - onUse: whether something reads the shard. Otherwise it is part of a pull or a sync, which reports all of its
    ///     shards itself.
    ///   - arrived: receives the file when it was checked, before it is durable.
    package func refetch(
        _ digest: ContentDigest, onUse: Bool, arrived: FetchedShard.Receiver? = nil, _ work: Work
    ) throws {
        if access.isReadOnly { return try requireUnchanged(digest) }
        let work = Work(within: missWork, work)
        let lock = try ShardLock(digest, in: path + "/fetch.lock", waits.until(work))
        defer { withExtendedLifetime(lock) {} }
        guard let wanted = try wanted(digest) else { return }
        // A small shard may be fetched, and others evicted for it, before anything else looks at the work.
        try work.check()
        try makeRoomForFetch(wanted.bytes, work)
        let fetched = try fetchBytes(of: wanted, onUse: onUse, arrived: arrived, work)
        guard try commit([fetched], onUse: onUse, work).contains(digest) else {
            throw StorageError.missing(path: blobs.path(digest), digest: digest)
        }
    }

    /// Fetches absent shards, small ones in groups (`GroupFetch`), the others one after another. Blocks.
    ///
    /// - Parameters:
    ///   - digests: shards that are neighbours in their file should be neighbours here. Each shard once.
    ///   - onUse: as in ``refetch(_:onUse:_:)``.
    ///   - completed: receives the result of each shard, as soon as it is known; an error that it throws ends the call.
    /// - Throws: errors of `completed`; `CancellationError`.
    package func refetch(
        group digests: [ContentDigest], onUse: Bool, _ work: Work,
        completed: (_ digest: ContentDigest, _ result: Result<Void, any Error>) throws -> Void
    ) throws {
        var rest = digests
        if digests.count > 1 {
            let group = try GroupFetch(store: self, onUse: onUse, work: work).run(digests)
            rest = digests.filter { group[$0] == nil }
            for digest in digests { if let result = group[digest] { try completed(digest, result) } }
        }
        for digest in rest {
            try work.check()
            try completed(digest, Result { try refetch(digest, onUse: onUse, work) })
        }
    }

    /// Fetches the bytes of an absent shard, whose lock the caller holds, from the nearest origin that has it.
    ///
    /// - Parameter arrived: receives the file when it was checked, before it is durable.
    func fetchBytes(
        of wanted: WantedShard, onUse: Bool, arrived: FetchedShard.Receiver? = nil, _ work: Work
    ) throws -> FetchedShard {
        var fetched: FetchedShard?
        try fromNearestOrigin(wanted, work) { source, origin in
            guard onUse else { return fetched = try fetch(wanted, source, origin, onUse: false, work) }
            let progress = Work()
            try fetches.during(source.request.model, from: source.url, progress) {
                progress.expect(wanted.bytes)
                fetched = try fetch(wanted, source, origin, onUse: true, arrived: arrived, work, progress)
            }
        }
        guard let fetched else { throw StorageError.missing(path: blobs.path(wanted.digest), digest: wanted.digest) }
        return fetched
    }

    /// Reads an absent shard from the nearest origin that has it, into memory only: it is what ``refetch(_:work:)`` does
    /// not store because there is no room for it.
    ///
    /// - Parameter refusal: why it is not stored. Thrown again if the memory has no room either.
    /// - Returns: nil if the shard is present.
    func passThrough(_ digest: ContentDigest, because refusal: any Error, _ work: Work) throws -> MemoryFile? {
        let work = Work(within: missWork, work)
        let lock = try ShardLock(digest, in: path + "/fetch.lock", waits.until(work))
        defer { withExtendedLifetime(lock) {} }
        if let passing = passing.find(digest) { return passing }
        guard let wanted = try wanted(digest) else { return nil }
        let memory = try passing.reserve(wanted.bytes, because: refusal)
        warnOfPassing(refusal)
        try fromNearestOrigin(wanted, work) { source, origin in
            try measuring(source.url) { meter in
                try origin.fetch(source.request, work) { offset, run in
                    try work.check()
                    meter.add(run: run.count)
                    try memory.write(run, at: offset)
                }
            }
            let found = try memory.mapped().withUnsafeBytes { ContentDigest(of: $0) }
            guard found == digest else {
                throw StoreError.originDiffers(origin: source.url, digest: digest, found: "SHA-256 \(found.short)")
            }
            work.noteSupplier(source.url.withoutURLSecrets)
        }
        passing.add(memory, digest)
        return memory
    }

    /// An absent shard and its origins; nil if it is present.
    ///
    /// - Throws: ``StorageError/missing(path:digest:)`` if it is unknown, or no origin has it.
    private func wanted(_ digest: ContentDigest) throws -> WantedShard? {
        let missing = StorageError.missing(path: blobs.path(digest), digest: digest)
        try requireOwnBlobs()
        guard let wanted = try catalog.read({ db in try WantedShard.find(digest, db) }) else { throw missing }
        if wanted.state == .present, FileSystem.exists(blobs.path(digest)) { return nil }
        if wanted.sources.isEmpty { throw missing }
        return wanted
    }

    /// Reads parts of a tensor in an absent shard from the nearest origin that has it, into a buffer only.
    ///
    /// - Parameter start: the position of the tensor in the shard.
    /// - Returns: false if no origin is known to have the shard.
    func passThrough(
        _ parts: TensorParts, at start: Int, of digest: ContentDigest, into buffer: UnsafeMutableRawBufferPointer,
        _ work: Work
    ) throws -> Bool {
        guard let wanted = try catalog.read({ db in try WantedShard.find(digest, db) }), !wanted.sources.isEmpty else {
            return false
        }
        try fromNearestOrigin(wanted, work) { source, origin in
            try parts.read(into: buffer, leastBytes: TensorParts.leastRemoteBytes) { position, piece in
                try work.check()
                let first = start + position
                let request = source.request.only(first..<first + piece.count)
                var left = piece.count
                try measuring(source.url) { meter in
                    try origin.fetch(request, work) { offset, run in
                        meter.add(run: run.count)
                        left -= Self.copy(run, at: offset - first, into: piece)
                    }
                }
                guard left == 0 else {
                    throw StoreError.originFailed(
                        origin: source.url, digest: digest, reason: "it sent \(left) bytes less than requested")
                }
            }
        }
        return true
    }

    /// Copies the part of a run that lies in a buffer, of which the run begins at an offset.
    ///
    /// Not inlined, because of a compiler bug: see `FileMapping.copy`.
    ///
    /// - Returns: the number of bytes copied.
    @inline(never)
    private static func copy(
        _ run: UnsafeRawBufferPointer, at offset: Int, into buffer: UnsafeMutableRawBufferPointer
    ) -> Int {
        let (first, end) = (max(offset, 0), min(offset + run.count, buffer.count))
        guard first < end else { return 0 }
        let part = first..<end
        UnsafeMutableRawBufferPointer(rebasing: buffer[part]).copyMemory(
            from: UnsafeRawBufferPointer(rebasing: run[part.lowerBound - offset..<part.upperBound - offset]))
        return part.count
    }

    /// Calls `body` with one origin of a shard after another, the nearest first, until it succeeds.
    private func fromNearestOrigin(
        _ wanted: WantedShard, _ work: Work,
        _ body: (_ source: (url: String, request: ShardRequest), any Origin) throws -> Void
    ) throws {
        if let request = wanted.sources.first?.request {
            for origin in nearer.value?.origins(for: request) ?? [] {
                let source = (url: origin.url, request: request)
                guard let failure = try attempt(source, { try body(source, origin) }) else { return }
                report(failure, of: origin.url)
            }
        }
        var failures = OriginFailures()
        var last: (error: any Error, url: String)?
        for source in wanted.sources {
            // The failure of the last one is the error of the call, and not also a warning.
            if let last { report(last.error, of: last.url) }
            guard let failure = try attempt(source, { try body(source, origins.origin(source.url)) }) else { return }
            failures.add(failure, of: source.url)
            last = (failure, source.url)
        }
        if let last { recordFailure(last.error, of: last.url) }
        throw failures.error ?? StorageError.missing(path: blobs.path(wanted.digest), digest: wanted.digest)
    }

    /// Measures one request to an origin.
    func measuring(_ url: String, _ body: (inout RequestMeter) throws -> Void) rethrows {
        var meter = RequestMeter()
        try body(&meter)
        catalog.activity.add(meter.values(origin: url))
    }

    /// In a store that can only be read: throws the reason why a shard has no blob, unless it is back.
    private func requireUnchanged(_ digest: ContentDigest) throws {
        let path = blobs.path(digest)
        let row = try catalog.read { db in try ShardTable.find(digest, db) }
        switch row?.state {
        case .present where FileSystem.exists(path): return
        // The catalog of an immutable file or of a copy does not show the removal.
        case .present, nil: throw StorageError.removed(path: path, digest: digest)
        case .evicted:
            throw StorageError.readOnly(
                reason: "\(readOnlyReason ?? path): shard \(digest.short) was evicted, and a fetch would store it")
        case .quarantined, .missing: throw StorageError.missing(path: path, digest: digest)
        }
    }

    /// Ends all fetches on miss and all waits for locks with `CancellationError`, and allows no new ones: call it before
    /// the process exits. Fetched bytes are kept. Pulls continue; they end with their own `Work`.
    public func stopFetching() { missWork.cancel() }

    /// Calls `body`, which fetches a shard from one origin.
    ///
    /// - Returns: nil on success; the error, if another origin may still have the shard.
    /// - Throws: errors that trying another origin cannot fix.
    private func attempt(
        _ source: (url: String, request: ShardRequest), _ body: () throws -> Void
    ) throws -> (any Error)? {
        do {
            try body()
            nearer.value?.recordResult(from: source.url, source.request, nil)
            return nil
        } catch  where Self.isFatalForAllOrigins(error) {
            throw error
        } catch {
            nearer.value?.recordResult(from: source.url, source.request, error)
            noteFailure(error, of: source.url)
            return error
        }
    }

    /// - Parameter progress: counts the bytes that arrive.
    private func fetch(
        _ wanted: WantedShard, _ source: (url: String, request: ShardRequest), _ origin: any Origin, onUse: Bool,
        arrived: FetchedShard.Receiver? = nil, _ work: Work, _ progress: Work? = nil
    ) throws -> FetchedShard {
        let digest = wanted.digest
        let start = ContinuousClock.now
        while true {
            let partial = try PartialShards(store: path).open(digest, waits.until(work))
            let shard = try ShardWriter(bytes: wanted.bytes, resuming: partial, isReadNext: onUse)
            try shard.hashWrittenBytes()
            try fetchRest(of: shard, wanted, source, origin, work, progress)
            let found = try shard.finishAdding { found, staged in if found == digest { arrived?(staged) } }
            if found == digest {
                return FetchedShard(
                    digest: digest, bytes: wanted.bytes, staged: shard.staged, url: source.url,
                    model: source.request.model, seconds: (ContinuousClock.now - start) / .seconds(1))
            }
            try shard.remove()
            // The bytes of an earlier attempt may be wrong: fetch all of them from this origin.
            guard shard.have > 0 else {
                throw StoreError.originDiffers(origin: source.url, digest: digest, found: "SHA-256 \(found.short)")
            }
        }
    }

    /// Fetches the missing bytes.
    private func fetchRest(
        of shard: ShardWriter, _ wanted: WantedShard, _ source: (url: String, request: ShardRequest),
        _ origin: any Origin, _ work: Work, _ progress: Work?
    ) throws {
        if shard.have == wanted.bytes { return }
        do {
            try measuring(source.url) { meter in
                try origin.fetch(source.request.from(shard.have), work) { offset, run in
                    try work.check()
                    meter.add(run: run.count)
                    progress?.advance(run.count)
                    try shard.add(run, at: offset)
                }
            }
        } catch let error as FileError where error.isDiskFull {
            try shard.remove()
            throw error
        } catch {
            try shard.abandon()
            if Self.isOwn(error) || error is FetchError { throw error }
            throw StoreError.originFailed(origin: source.url, digest: wanted.digest, reason: "\(error)")
        }
    }

    /// Whether trying another origin would not help.
    static func isFatalForAllOrigins(_ error: any Error) -> Bool {
        switch error {
        case FileError.diskFull, StorageError.catalogDamaged, is CancellationError: true
        default: false
        }
    }

    /// Whether an error comes from the store itself, and not from an origin.
    private static func isOwn(_ error: any Error) -> Bool {
        error is FileError || error is StorageError || error is StoreError || error is CancellationError
    }
}
