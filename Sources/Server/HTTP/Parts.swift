import WeightStore

/// The bytes of a file, opened part by part as a client reads them. A part that the store lacks, or that was evicted
/// meanwhile, is fetched while the previous part is sent.
actor Parts {
    /// Small enough that no client times out while the first part is fetched, large enough to saturate a link.
    static let bytes = 32 << 20

    /// Opens a range of the bytes. Blocks.
    ///
    /// - Parameter continues: whether the preceding bytes were opened, too.
    typealias Opener = @Sendable (_ range: Range<Int>, _ continues: Bool) throws -> StoredBytes

    nonisolated let range: Range<Int>
    private let threads: BlockingThreads
    private let open: Opener
    private var current: StoredBytes?
    /// The next part, fetched while the current one is sent.
    private var next: Task<StoredBytes, any Error>?

    init(_ range: Range<Int>, threads: BlockingThreads, open: @escaping Opener) {
        self.range = range
        self.threads = threads
        self.open = open
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

    private func start(at offset: Int) -> Task<StoredBytes, any Error> {
        let part = offset..<min(offset + Self.bytes, range.upperBound)
        let continues = offset > range.lowerBound
        return Task { [threads, open] in try await threads.run { try open(part, continues) } }
    }
}
