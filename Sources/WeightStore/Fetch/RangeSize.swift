import Support
import Synchronization

/// The size of a range, by the speed of the link: about a second's worth of bytes, because an interrupted range is lost,
/// and the reader of a shard waits for the range with it.
///
/// Where a reader waits for a shard, its last ranges should not all end at once, because they are hashed and written one after the
/// other. So ranges grow only as long as larger ones are faster, which they are where the latency of the link is most of their time.
final class RangeSize: Sendable {
    private struct State {
        var bytes = 1 << 20
        /// How long a range of half the size took.
        var half: Duration?
        /// Whether larger ranges were tried, and are no faster.
        var isLargest = false
    }

    /// Twice the bytes in less than this time: the latency is a fifth of it at least.
    private static let faster = 1.8

    private let state = Mutex(State())
    private let least = 256 << 10
    private let most: Int
    private let isAwaited: Bool

    /// - Parameters:
    ///   - most: the size on a fast link, in bytes.
    ///   - isAwaited: whether something waits for the bytes, to read them.
    init(atMost most: Int, isAwaited: Bool = false) {
        self.most = most
        self.isAwaited = isAwaited
    }

    /// The current size, in bytes.
    var bytes: Int { state.withLock { $0.bytes } }

    /// Changes the size.
    ///
    /// - Parameters:
    ///   - duration: how long the last range took.
    ///   - size: ``bytes`` when it was requested. Nothing changes if the size has changed since.
    ///   - isFull: whether the range had this size, and all of it was transferred. Others say nothing about the latency.
    func adapt(to duration: Duration, requestedAt size: Int, isFull: Bool = true) {
        state.withLock { state in
            guard size == state.bytes, isFull || !isAwaited else { return }
            if isAwaited, let half = state.half, duration > half * Self.faster {
                state = State(bytes: size / 2, isLargest: true)
            } else if duration < .milliseconds(250), size < most, !state.isLargest {
                state = State(bytes: size * 2, half: duration)
            } else if duration > .seconds(1), size > least {
                state = State(bytes: size / 2, isLargest: state.isLargest)
            }
        }
    }
}
