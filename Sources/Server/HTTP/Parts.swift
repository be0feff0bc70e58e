import WeightStore
import WireFormats

/// The bytes of a file, opened part by part as a client reads them. A part that the store lacks, or that was evicted
/// meanwhile, is fetched while the previous part is sent.
actor Parts {
    /// Small enough that no client times out while the first part is fetched, large enough to saturate a link.
    static let bytes = 32 << 20

    /// Opens a range of the bytes. Blocks, but waits for no origin.
    ///
    /// - Parameter continues: whether the preceding bytes were opened, too.
    /// - Returns: nil if some of the bytes must be fetched.
    typealias Opener = @Sendable (_ range: Range<Int>, _ continues: Bool) throws -> StoredBytes?

    /// Fetches and opens a range of the bytes.
    ///
    /// - Parameter lost: the error of a read that found a blob missing or damaged.
    typealias Fetcher =
        @Sendable (_ range: Range<Int>, _ continues: Bool, _ lost: StorageError?) async throws ->
        StoredBytes

    nonisolated let range: Range<Int>
    private let threads: BlockingThreads
    private let open: Opener
    private let fetch: Fetcher?
    /// The client for which bytes are fetched.
    private let client = ConnectionContext.current
    private var current: StoredBytes?
    /// The next part, fetched while the current one is sent.
    private var next: Task<StoredBytes, any Error>?

    /// - Parameter fetch: nil if `open` returns all bytes.
    init(_ range: Range<Int>, threads: BlockingThreads, open: @escaping Opener, fetch: Fetcher?) {
        self.range = range
        self.threads = threads
        self.open = open
        self.fetch = fetch
    }

    deinit { next?.cancel() }

    /// The part that contains the byte at `offset`. Offsets must increase from call to call.
    func part(at offset: Int) async throws -> StoredBytes {
        if let current, current.range.contains(offset) { return current }
        let part = try await (next ?? start(at: offset)).value
        current = part
        next = part.range.upperBound < range.upperBound ? start(at: part.range.upperBound) : nil
        return part
    }

    /// The rest of the current part from `offset`, after a blob of it turned out to be missing or damaged.
    func reopened(at offset: Int, after lost: StorageError) async throws -> StoredBytes {
        guard let fetch, let current, current.range.contains(offset) else { throw lost }
        let rest = offset..<current.range.upperBound
        let part = try await ConnectionContext.$current.withValue(client) { try await fetch(rest, true, lost) }
        self.current = part
        return part
    }

    private func start(at offset: Int) -> Task<StoredBytes, any Error> {
        let part = offset..<min(offset + Self.bytes, range.upperBound)
        let continues = offset > range.lowerBound
        return Task { [threads, open, fetch, client] in
            if let stored = try await threads.run({ try open(part, continues) }) { return stored }
            guard let fetch else { throw HubError.unavailable("some of the bytes are not in the store") }
            return try await ConnectionContext.$current.withValue(client) { try await fetch(part, continues, nil) }
        }
    }
}
