import Synchronization
import WeightStore

/// The shards that are being fetched into a store, for requests of peers that may wait for them.
public final class InFlightRegistry: Sendable {
    /// The result of a wait.
    public enum State: Sendable {
        /// The fetch of the shard has ended, with or without success: look the shard up in the store again.
        case ended
        /// The fetch is planned or in progress.
        case inFlight
        /// No fetch of the shard is planned.
        case unknown
    }

    private let expected = Mutex<Set<ContentDigest>>([])

    /// Seconds to wait for a digest that is not expected: a peer may receive a new version slightly earlier than this
    /// node.
    private static let unexpectedSeconds = 3.0

    /// Creates a registry without shards.
    public init() {}

    func expect(_ digests: some Sequence<ContentDigest>) { expected.withLock { $0.formUnion(digests) } }
    func arrived(_ digest: ContentDigest) { expected.withLock { _ = $0.remove(digest) } }
    /// Stops expecting digests, whether or not they have arrived.
    func forget(_ digests: some Sequence<ContentDigest>) { expected.withLock { $0.subtract(digests) } }

    private func expects(_ digest: ContentDigest) -> Bool { expected.withLock { $0.contains(digest) } }

    /// Waits until a shard or manifest that is not in the store has arrived.
    ///
    /// - Parameter seconds: the longest wait; shorter for a digest that is not expected.
    /// - Throws: `CancellationError`.
    public func wait(for digest: ContentDigest, seconds: Double) async throws -> State {
        let start = ContinuousClock.now
        var wasExpected = false
        while true {
            let isExpected = expects(digest)
            if wasExpected && !isExpected { return .ended }
            wasExpected = isExpected
            let waited = (ContinuousClock.now - start) / .seconds(1)
            if waited >= (isExpected ? seconds : min(seconds, Self.unexpectedSeconds)) {
                return isExpected ? .inFlight : .unknown
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
