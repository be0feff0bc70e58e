import Support
import Synchronization

/// The size of a range, by the speed of the link: about a second's worth of bytes, because an interrupted range is lost,
/// and the reader of a shard waits for the range with it.
///
/// If something waits for the bytes, ranges grow only as long as larger ones arrive at a higher rate, as those of a distant
/// origin do: ranges that are in flight together end together, and what ends last is hashed and written last.
final class RangeSize: Sendable {
    private let least = 256 << 10
    private let most: Int
    private let isAwaited: Bool

    private struct State {
        var bytes = 1 << 20
        /// The rate of ranges of half the size, in bytes per second; nil if there is none to compare with.
        var rateOfHalf: Double?
        /// Whether larger ranges have brought nothing.
        var isLargeEnough = false
    }

    private let state = Mutex(State())

    /// The rate of ranges of twice the size, as a part of that before, from which they stay as large.
    private static let gain = 1.25
    /// Ranges that take less than this can be larger, whatever their rate.
    private static let short = Duration.milliseconds(30)

    /// - Parameters:
    ///   - most: the size on a fast link, in bytes.
    ///   - isAwaited: whether something waits for the bytes.
    init(atMost most: Int, isAwaited: Bool = false) {
        self.most = most
        self.isAwaited = isAwaited
    }

    /// The current size, in bytes.
    var bytes: Int { state.withLock { $0.bytes } }

    /// Changes the size.
    ///
    /// - Parameters:
    ///   - bytes: the size of the last range.
    ///   - duration: how long it took.
    func adapt(to duration: Duration, of bytes: Int) {
        state.withLock { state in
            if duration > .seconds(1) {
                // One that is twice as large was requested before the size was halved.
                guard bytes < 2 * state.bytes, state.bytes > least else { return }
                state.bytes /= 2
                state.rateOfHalf = nil
                return
            }
            if isAwaited, bytes != state.bytes { return }
            let rate = Double(bytes) / (duration / .seconds(1))
            if isAwaited, let before = state.rateOfHalf, rate < before * Self.gain {
                state.bytes /= 2
                state.rateOfHalf = nil
                state.isLargeEnough = true
                return
            }
            guard duration < .milliseconds(250), state.bytes < most, !state.isLargeEnough else { return }
            state.bytes *= 2
            state.rateOfHalf = duration < Self.short ? nil : rate
        }
    }
}
