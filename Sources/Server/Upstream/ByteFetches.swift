import Support
import WeightStore

/// Fetches bytes of files that the store lacks: on threads of their own, so that no reader of stored bytes waits for an
/// origin.
struct ByteFetches: Sendable {
    private struct Key: Hashable {
        let revision: ContentDigest
        let path: ByteText
        let range: Range<Int>
        /// A shard that a read did not find, or found damaged.
        let lost: ContentDigest?
    }

    private let gate: FetchGate<Key, StoredBytes>

    init(_ metrics: FetchMetrics) {
        // A fetch uses up to 8 connections, and as many threads.
        gate = FetchGate(.init(total: 32, perModel: 4), metrics)
    }

    /// A range of a file's bytes, once all of them are stored. Clients that request the same range share the fetch.
    ///
    /// - Parameter lost: the error of a read that found a blob missing or damaged.
    func bytes(
        of file: FileEntry, in range: Range<Int>, continuing: Bool = false, of revision: Revision,
        after lost: StorageError? = nil
    ) async throws -> StoredBytes {
        let key = Key(revision: revision.digest, path: ByteText(file.path), range: range, lost: lost?.lostBlob)
        let stored = try await gate.value(of: key, model: revision.model) {
            let work = Work()
            return try await work.run {
                try revision.fetchedBytes(of: file, in: range, continuing: continuing, after: lost, work: work)
            }
        }
        // Each reader has open files of its own.
        return stored.part(range)
    }
}
