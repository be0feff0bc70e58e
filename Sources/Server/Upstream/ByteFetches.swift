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

    /// A range, and the origins that supplied bytes of it.
    private struct Fetched {
        let bytes: StoredBytes
        let origins: [String]
    }

    private let gate: FetchGate<Key, Fetched>

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
        let fetched = try await gate.value(of: key, model: revision.model) {
            let work = Work()
            let bytes = try await work.run {
                try revision.fetchedBytes(of: file, in: range, continuing: continuing, after: lost, work: work)
            }
            return Fetched(bytes: bytes, origins: work.suppliers)
        }
        ConnectionContext.current?.record?.noteFetch(from: fetched.origins)
        // Each reader has open files of its own.
        return fetched.bytes.part(range)
    }
}
