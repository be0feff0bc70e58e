import Support
import Synchronization

/// The size of a range, by the speed of the link: about a second's worth of bytes, because an interrupted range is lost,
/// and the reader of a shard waits for the range with it.
final class RangeSize: Sendable {
    private let current = Atomic<Int>(1 << 20)
    private let least = 256 << 10
    private let most: Int

    /// - Parameter most: the size on a fast link, in bytes.
    init(atMost most: Int) { self.most = most }

    /// The current size, in bytes.
    var bytes: Int { current.load(ordering: .relaxed) }

    /// Changes the size.
    ///
    /// - Parameter duration: how long the last range took.
    func adapt(to duration: Duration) {
        let bytes = bytes
        if duration < .milliseconds(250), bytes < most { current.store(bytes * 2, ordering: .relaxed) }
        if duration > .seconds(1), bytes > least { current.store(bytes / 2, ordering: .relaxed) }
    }
}
