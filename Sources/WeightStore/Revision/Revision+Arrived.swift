import Files
import Storage
import Support

/// Bytes that are read before they are durable.
extension Revision {
    /// Receives bytes that have arrived.
    package typealias Arrived = @Sendable (StoredBytes) -> Void

    /// Passes on the bytes of a shard of a pending file, unless the file may be complete with them.
    func handOver(_ range: Range<Int>, of file: FileEntry, _ shard: ArrivedShard, _ arrived: Arrived) {
        guard shard.file.id == file.id, !isReadWhenStored(file) else { return }
        let path = store.blobs.path(shard.facts.digest)
        let runs = shard.file.plan.places(of: shard.ordinal).map { place in
            StoredBytes.Run(
                offset: place.offset, length: place.extent.length, blobOffset: place.extent.shardOffset,
                blobBytes: shard.facts.bytes, digest: shard.facts.digest, path: path)
        }
        pass(runs.sorted { $0.offset < $1.offset }, around: range, shard.staged, to: arrived) {
            try store.lacksOthers(than: shard)
        }
    }

    /// Passes on the bytes of an evicted shard, which were compared with its digest.
    func handOver(
        _ range: Range<Int>, of file: FileEntry, in digest: ContentDigest, _ staged: StagedFile, _ arrived: Arrived
    ) {
        // Without them, the reader gets the bytes when they are stored.
        guard !isReadWhenStored(file), let bytes = try? staged.count() else { return }
        let around =
            max(
                range.lowerBound.subtracting(saturating: bytes), 0)..<min(
                range.upperBound.adding(saturating: bytes), file.bytes)
        guard let runs = try? stored(file, around).runs else { return }
        pass(runs.filter { $0.digest == digest }, around: range, staged, to: arrived) { true }
    }

    private func isReadWhenStored(_ file: FileEntry) -> Bool { store.readWhenStored.withLock { $0.contains(file.id) } }

    /// Passes on the neighbours among the runs of a shard that include a range. If none do, or anything fails, the reader gets
    /// the bytes when they are stored.
    private func pass(
        _ runs: [StoredBytes.Run], around range: Range<Int>, _ staged: StagedFile, to arrived: Arrived,
        if isAllowed: () throws -> Bool
    ) {
        let neighbours = StoredBytes.Run.neighbours(in: runs, around: range.lowerBound)
        guard let first = neighbours.first, let last = neighbours.last else { return }
        let all = first.offset..<last.offset.adding(saturating: last.length)
        guard all.lowerBound <= range.lowerBound, range.upperBound <= all.upperBound,
            (try? isAllowed()) == true, let file = (try? staged.unsynced()) ?? nil,
            let bytes = try? StoredBytes(all, runs: Array(neighbours), hold: hold, substitutes: [first.digest: file])
        else { return }
        arrived(bytes)
    }
}
