import Synchronization
import WeightStore

/// What is on its way into a store, for those who ask for it and may wait.
public final class ArrivalBoard: Sendable {
    public enum State: Sendable {
        /// It was expected, and is no longer: look again.
        case arrived
        case underWay
        case unknown
    }

    private let expected = Mutex<Set<ContentDigest>>([])

    /// Others may hear of a version a little sooner than this node does.
    private static let hearSeconds = 3.0

    public init() {}

    func expect(_ digests: some Sequence<ContentDigest>) { expected.withLock { $0.formUnion(digests) } }
    func arrived(_ digest: ContentDigest) { expected.withLock { _ = $0.remove(digest) } }
    /// They are not on their way any more.
    func forget(_ digests: some Sequence<ContentDigest>) { expected.withLock { $0.subtract(digests) } }

    private func expects(_ digest: ContentDigest) -> Bool { expected.withLock { $0.contains(digest) } }

    /// Waits until something that is not here has come.
    public func wait(for digest: ContentDigest, seconds: Double) async throws -> State {
        let start = ContinuousClock.now
        var wasExpected = false
        while true {
            let isExpected = expects(digest)
            if wasExpected && !isExpected { return .arrived }
            wasExpected = isExpected
            let waited = (ContinuousClock.now - start) / .seconds(1)
            if waited >= (isExpected ? seconds : min(seconds, Self.hearSeconds)) {
                return isExpected ? .underWay : .unknown
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }
}
