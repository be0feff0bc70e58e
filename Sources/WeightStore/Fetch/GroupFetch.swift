import Files
import ModelFormats
import Storage
import Support

/// Fetches small absent shards in groups, because a request, a sync and a transaction for each of tens of thousands take
/// many times as long as their bytes.
///
/// **Requests.** Shards that are neighbours in a file of an origin that returns any range of its files (`ModelOrigin`)
/// are fetched with one request, and each is compared with its digest. Other origins, and the shards of nearer origins,
/// have a request each.
///
/// **Durability.** A group is committed as a whole (`Store.commit`). Until then its bytes are in `partial/`, as those of a
/// single fetch, so that the next fetch resumes after them.
///
/// **Failures.** A group only fetches what it can without waiting: shards that another fetch has locked, that did not
/// arrive, or that arrived with wrong bytes are left to the caller, which fetches them alone. So a shard fails with the
/// error of its own fetch, and the rest of its group is stored.
struct GroupFetch {
    /// The most bytes between two shards that are fetched with them and not used. They take less time than a request.
    private static let mostGap = 16 << 10

    let store: Store
    let onUse: Bool
    let work: Work

    init(store: Store, onUse: Bool, work: Work) {
        self.store = store
        self.onUse = onUse
        self.work = Work(within: store.missWork, work)
    }

    /// The file of an origin that has a shard.
    private struct Source: Hashable {
        let url: ByteText
        let model: ByteText
        let commit: String
        let path: ByteText
    }

    /// A shard whose bytes are arriving.
    private final class Arrival {
        let wanted: WantedShard
        let request: ShardRequest
        let writer: ShardWriter
        /// The number of bytes that have not arrived.
        var missing: Int
        /// Whether all bytes have arrived, with the digest.
        var isFinished = false

        init(_ wanted: WantedShard, _ request: ShardRequest, _ writer: ShardWriter) {
            self.wanted = wanted
            self.writer = writer
            self.request = request.from(writer.have)
            missing = self.request.missing.saturatingSum(\.length)
        }
    }

    /// Blocks until the groups are durable.
    ///
    /// - Returns: the results by shard; those without a result are to be fetched alone.
    /// - Throws: `CancellationError`, and errors of the catalog.
    func run(_ digests: [ContentDigest]) throws -> [ContentDigest: Result<Void, any Error>] {
        var results: [ContentDigest: Result<Void, any Error>] = [:]
        if store.access.isReadOnly { return results }
        var seen: Set<ContentDigest> = []
        var rest = digests.filter { seen.insert($0).inserted }[...]
        while !rest.isEmpty {
            try work.check()
            let sizes = try store.catalog.read { db in
                try rest.prefix(ShardBatch.mostShards).map { try ShardTable.find($0, db)?.bytes ?? 0 }
            }
            var batch = ShardBatch()
            let count = sizes.prefix { batch.add(bytes: $0, atMost: store.groupSize.bytes) }.count
            // One alone, too: packs as large as the present size would never show that the link is fast.
            if count > 1 || sizes[0] <= ShardBatch.mostShardBytes { try fetch(rest.prefix(count), &results) }
            rest = rest.dropFirst(count)
        }
        return results
    }

    /// Fetches one group. Its locks end with the call.
    private func fetch(
        _ digests: ArraySlice<ContentDigest>, _ results: inout [ContentDigest: Result<Void, any Error>]
    ) throws {
        let locks = try ShardLocks(in: store.path + "/fetch.lock")
        defer { withExtendedLifetime(locks) {} }
        var own: [ContentDigest] = []
        for digest in digests where try locks.tryLock(digest) { own.append(digest) }
        try store.requireOwnBlobs()
        let found = try store.catalog.read { db in try own.compactMap { try WantedShard.find($0, db) } }
        var wanted: [WantedShard] = []
        for shard in found {
            if shard.state == .present, FileSystem.exists(store.blobs.path(shard.digest)) {
                results[shard.digest] = .success(())
            } else if !shard.sources.isEmpty, shard.bytes <= ShardBatch.mostShardBytes {
                wanted.append(shard)
            }
        }
        if wanted.isEmpty { return }
        do {
            try store.makeRoomForFetch(wanted.saturatingSum(\.bytes), work)
        } catch let error as CancellationError {
            throw error
        } catch {
            // There may be room for some of them: each reports its own error.
            return
        }
        var arrived: [FetchedShard] = []
        var alone: [WantedShard] = []
        for (origin, shards) in bySource(wanted, &alone) {
            do {
                try fetchRanges(of: shards, from: origin, &arrived)
            } catch let error as CancellationError {
                throw error
            } catch {
                // Each of the rest is fetched alone, and reports its own error.
                store.logger.warning("\(shards.count) shards could not be fetched as a group: \(error)")
            }
        }
        for shard in alone {
            try work.check()
            do {
                arrived.append(try store.fetchBytes(of: shard, onUse: onUse, work))
            } catch let error as CancellationError {
                throw error
            } catch {
                results[shard.digest] = .failure(error)
                if Store.isFatalForAllOrigins(error) { break }
            }
        }
        do {
            for digest in try store.commit(arrived, onUse: onUse, work) { results[digest] = .success(()) }
        } catch let error as CancellationError {
            throw error
        } catch {
            // Each is committed alone, or reports its own error. The bytes of most are in `partial/`.
            store.logger.warning("\(arrived.count) shards could not be stored as a group: \(error)")
        }
    }

    /// The shards by the file of which they are ranges, each with its origin.
    ///
    /// - Parameter alone: receives those that have a request each.
    private func bySource(
        _ wanted: [WantedShard], _ alone: inout [WantedShard]
    ) -> [(origin: any ModelOrigin, shards: [WantedShard])] {
        var groups: [Source: (origin: any ModelOrigin, shards: [WantedShard])] = [:]
        for shard in wanted {
            guard let (url, request) = shard.sources.first, request.fileBytes != nil,
                store.nearer.value?.origins(for: request).isEmpty ?? true,
                // An origin that cannot be made fails again for the shard alone, and then reports its error.
                let origin = try? store.origins.origin(url) as? any ModelOrigin
            else {
                alone.append(shard)
                continue
            }
            let source = Source(
                url: ByteText(url), model: ByteText(request.model), commit: request.commit,
                path: ByteText(request.path))
            groups[source, default: (origin, [])].shards.append(shard)
        }
        return Array(groups.values)
    }

    /// Fetches ranges of a file, and divides them into their shards.
    ///
    /// - Parameter arrived: receives the shards with their digests.
    private func fetchRanges(
        of shards: [WantedShard], from origin: any ModelOrigin, _ arrived: inout [FetchedShard]
    ) throws {
        let start = ContinuousClock.now
        let partials = PartialShards(store: store.path)
        var arrivals: [Arrival] = []
        // Kept for the next attempt, whatever ends this one. The first failure is the one to report.
        defer { for arrival in arrivals where !arrival.isFinished { try? arrival.writer.abandon() } }
        for shard in shards {
            // A garbage collection may have it locked for a moment.
            guard let request = shard.sources.first?.request,
                let partial = try partials.open(partials.path(of: shard.digest))
            else { continue }
            let writer = try ShardWriter(bytes: shard.bytes, resuming: partial, isReadNext: onUse)
            try writer.hashWrittenBytes()
            arrivals.append(Arrival(shard, request, writer))
        }
        guard let first = arrivals.first else { return }
        do {
            if onUse {
                let progress = Work()
                try store.fetches.during(first.request.model, from: origin.url, progress) {
                    progress.expect(arrivals.saturatingSum(\.missing))
                    try fetchMissing(arrivals, from: origin, progress)
                }
            } else {
                try fetchMissing(arrivals, from: origin, nil)
            }
        } catch let error as FileError where error.isDiskFull {
            for arrival in arrivals { try arrival.writer.remove() }
            throw error
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let bytes = max(arrivals.saturatingSum(\.wanted.bytes), 1)
        for arrival in arrivals where arrival.missing == 0 {
            let (shard, writer) = (arrival.wanted, arrival.writer)
            guard try writer.finishAdding() == shard.digest else {
                try writer.remove()
                continue
            }
            arrival.isFinished = true
            store.nearer.value?.recordResult(from: origin.url, arrival.request, nil)
            arrived.append(
                FetchedShard(
                    digest: shard.digest, bytes: shard.bytes, staged: writer.staged, url: origin.url,
                    model: arrival.request.model, seconds: seconds * Double(shard.bytes) / Double(bytes)))
        }
    }

    /// Fetches the missing bytes of shards of one file. If the origin fails, some are still missing afterwards.
    private func fetchMissing(_ arrivals: [Arrival], from origin: any ModelOrigin, _ progress: Work?) throws {
        let parts = arrivals.enumerated().flatMap { number, arrival in
            arrival.request.missing.map { JoinedRange.Part(shard: number, $0) }
        }.sorted { $0.piece.fileOffset < $1.piece.fileOffset }
        guard let request = arrivals.first?.request, let fileBytes = request.fileBytes else { return }
        let file = RemoteFile(
            model: request.model, commit: request.commit, path: request.path, bytes: fileBytes, digest: nil,
            gitObject: nil)
        for range in JoinedRange.join(parts, atMost: ShardBatch.mostBytes, gap: Self.mostGap) {
            try work.check()
            let (start, size) = (ContinuousClock.now, store.groupSize.bytes)
            let buffer = Buffer(uninitialized: range.length)
            do {
                try store.measuring(origin.url) { meter in
                    try origin.read(
                        file, at: range.offset, into: buffer.writableBytes(range.length), Work(within: work))
                    meter.add(bytes: range.length)
                }
            } catch let error as CancellationError {
                throw error
            } catch {
                store.noteFailure(error, of: origin.url)
                return
            }
            store.groupSize.adapt(to: ContinuousClock.now - start, requestedAt: size)
            for part in range.parts {
                let arrival = arrivals[part.shard]
                try arrival.writer.add(
                    UnsafeRawBufferPointer(buffer.writableBytes(at: range.offset(of: part), part.piece.length)),
                    at: part.piece.shardOffset)
                arrival.missing -= part.piece.length
                progress?.advance(part.piece.length)
            }
        }
    }
}
