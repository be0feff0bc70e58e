import Support
import Synchronization

/// The size of a range, by the speed of the link: about a second's worth of bytes, because an interrupted range is lost,
/// and the reader of a shard waits for the range with it.
final class RangeSize: Sendable {
    private let current = Mutex(1 << 20)
    private let least = 256 << 10
    private let most: Int

    /// - Parameter most: the size on a fast link, in bytes.
    init(atMost most: Int) { self.most = most }

    /// The current size, in bytes.
    var bytes: Int { current.withLock { $0 } }

    /// Changes the size.
    ///
    /// - Parameters:
    ///   - duration: how long the last range took.
    ///   - size: ``bytes`` when it was requested. Nothing changes if the size has changed since.
    func adapt(to duration: Duration, requestedAt size: Int) {
        current.withLock { current in
            guard size == current else { return }
            if duration < .milliseconds(250), size < most { current = size * 2 }
            if duration > .seconds(1), size > least { current = size / 2 }
        }
    }
}
