import Synchronization

/// How far an import is; may be read, and cancelled, from any thread while it runs.
public final class ImportProgress: Sendable {
    private let totalBytes = Atomic<Int>(0)
    private let readBytes = Atomic<Int>(0)
    private let skippedBytes = Atomic<Int>(0)
    private let writtenBytes = Atomic<Int>(0)
    private let cancelled = Atomic<Bool>(false)

    public init() {}

    /// Bytes of all files to be imported.
    public var total: Int { totalBytes.load(ordering: .relaxed) }
    /// Bytes read and hashed.
    public var read: Int { readBytes.load(ordering: .relaxed) }
    /// Bytes of files that the store was known to hold, and that were not read.
    public var skipped: Int { skippedBytes.load(ordering: .relaxed) }
    /// Bytes of shards written and safe.
    public var written: Int { writtenBytes.load(ordering: .relaxed) }

    public var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    /// Makes the import stop soon, with ``StoreError/cancelled``.
    public func cancel() { cancelled.store(true, ordering: .relaxed) }

    func expect(_ bytes: Int) { totalBytes.add(bytes, ordering: .relaxed) }
    func read(_ bytes: Int) { readBytes.add(bytes, ordering: .relaxed) }
    func skipped(_ bytes: Int) { skippedBytes.add(bytes, ordering: .relaxed) }
    func written(_ bytes: Int) { writtenBytes.add(bytes, ordering: .relaxed) }
}
