import Storage
import Synchronization

/// Whether this process read files a moment ago.
///
/// The kernel reads ahead of what is read. Pages that it has read ahead are in the page cache, but no processor has accessed
/// them; in a virtual machine, the first access to a page may wait for the host.
package final class RecentReads: Sendable {
    /// The reads of this process.
    package static let process = RecentReads()

    /// How long a read is recent, in seconds.
    package static let seconds = 5

    /// By `StoreClock.coarse`; 0 before the first read.
    private let last = Atomic<Int64>(0)

    package init() {}

    /// Records a read of bytes that were not in the page cache.
    package func add(at now: Int64 = StoreClock.coarse) { last.store(now, ordering: .relaxed) }

    /// Whether there was one in the last ``seconds``.
    package func exist(at now: Int64 = StoreClock.coarse) -> Bool {
        let last = last.load(ordering: .relaxed)
        return last != 0 && now - last <= Int64(Self.seconds) * 1_000_000_000
    }
}
