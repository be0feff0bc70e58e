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
        /// The highest rate of ranges of this size, in bytes per second, and the number of these ranges.
        var rate = 0.0
        var count = 0
        /// The highest rate of ranges of half the size; nil if there is none to compare with.
        var rateOfHalf: Double?
        /// Whether larger ranges have brought nothing.
        var isLargeEnough = false

        mutating func resize(_ bytes: Int, rateOfHalf: Double? = nil) {
            self.bytes = bytes
            self.rateOfHalf = rateOfHalf
            (rate, count) = (0, 0)
        }
    }

    private let state = Mutex(State())

    /// The rate of ranges of twice the size, as a part of that before, from which they stay as large.
    private static let gain = 1.25
    /// The number of ranges of which one has to have that rate: any of them may have been delayed.
    private static let samples = 4
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
    ///   - duration: how long the last range took.
    ///   - bytes: how many it had.
    ///   - size: ``bytes`` when it was requested. Nothing changes if the size has changed since.
    func adapt(to duration: Duration, of bytes: Int, requestedAt size: Int) {
        state.withLock { state in
            guard size == state.bytes else { return }
            if duration > .seconds(1) {
                if state.bytes > least { state.resize(state.bytes / 2) }
                return
            }
            if isAwaited {
                // A small rest says nothing about a rate.
                guard 2 * bytes > size else { return }
                state.rate = max(state.rate, Double(bytes) / (duration / .seconds(1)))
                state.count += 1
                if let before = state.rateOfHalf {
                    if state.rate < before * Self.gain {
                        guard state.count >= Self.samples else { return }
                        state.isLargeEnough = true
                        return state.resize(size / 2)
                    }
                    state.rateOfHalf = nil
                }
            }
            guard duration < .milliseconds(250), state.bytes < most, !state.isLargeEnough else { return }
            state.resize(2 * size, rateOfHalf: duration < Self.short || !isAwaited ? nil : state.rate)
        }
    }
}
