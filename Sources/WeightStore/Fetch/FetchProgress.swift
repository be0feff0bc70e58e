import Synchronization

/// How far a fetch is; may be read, and cancelled, from any thread while it runs.
public final class FetchProgress: Sendable {
    private let totalBytes = Atomic<Int>(0)
    private let fetchedBytes = Atomic<Int>(0)
    private let presentBytes = Atomic<Int>(0)
    private let cancelled = Atomic<Bool>(false)

    public init() {}

    /// Bytes that are wanted.
    public var total: Int { totalBytes.load(ordering: .relaxed) }
    /// Bytes that came over the wire and were kept.
    public var fetched: Int { fetchedBytes.load(ordering: .relaxed) }
    /// Bytes of those wanted that were here before.
    public var present: Int { presentBytes.load(ordering: .relaxed) }

    public var isCancelled: Bool { cancelled.load(ordering: .relaxed) }

    /// Makes the fetch stop soon, with ``StoreError/cancelled``.
    public func cancel() { cancelled.store(true, ordering: .relaxed) }

    /// For origins: bytes have come.
    public func fetched(_ bytes: Int) { fetchedBytes.add(bytes, ordering: .relaxed) }

    package func expect(_ bytes: Int) { totalBytes.add(bytes, ordering: .relaxed) }
    package func present(_ bytes: Int) { presentBytes.add(bytes, ordering: .relaxed) }
    package func check() throws { if isCancelled { throw StoreError.cancelled } }
}
