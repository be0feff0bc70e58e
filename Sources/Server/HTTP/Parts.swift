import WeightStore

/// Bytes of a file that are opened part by part, as a client takes them: what the store lacks is fetched when the client
/// comes near it, and what is evicted meanwhile is brought back.
actor Parts {
    /// Small enough that a client does not give up while the first part is fetched, large enough to fill a link.
    static let bytes = 32 << 20

    /// Opens some of the bytes. Blocks.
    ///
    /// - Parameter continues: whether the bytes before them were opened, too.
    typealias Opener = @Sendable (_ range: Range<Int>, _ continues: Bool) throws -> StoredBytes

    nonisolated let range: Range<Int>
    private let threads: BlockingThreads
    private let open: Opener
    private var current: StoredBytes?
    /// Is fetched while the current one leaves for the client.
    private var next: Task<StoredBytes, any Error>?

    init(_ range: Range<Int>, threads: BlockingThreads, open: @escaping Opener) {
        self.range = range
        self.threads = threads
        self.open = open
    }

    deinit { next?.cancel() }

    /// The part that holds the byte at `offset`. Offsets come in order.
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
