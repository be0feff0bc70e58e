import Support
import Synchronization

/// The bytes of headers that one pull holds in memory.
///
/// A hub decides how long the headers of its files are, and a pull reads several files at once. A header of more than
/// `smallBytes` is read while no other one of that size is, and the fronts of files that are kept for the fetch of their
/// shards have a limit together: beyond it, a front is fetched again.
final class HeaderBudget: Sendable {
    /// The right to hold a long header. It ends when it is released.
    final class Permit: Sendable {
        private let budget: HeaderBudget

        fileprivate init(_ budget: HeaderBudget) { self.budget = budget }

        deinit { budget.isFree.change { $0 = true } }
    }

    /// The most bytes of a file that are held without a permit.
    let smallBytes: Int
    private let mostKept: Int
    private let isFree = AwaitedState(true)
    private let kept = Mutex(0)

    /// - Parameters:
    ///   - smallBytes: longer than nearly every header.
    ///   - mostKept: the most bytes of all kept fronts.
    init(smallBytes: Int = 32 << 20, mostKept: Int = 256 << 20) {
        self.smallBytes = smallBytes
        self.mostKept = mostKept
    }

    /// Waits until no other permit exists.
    ///
    /// - Throws: `CancellationError` once the work is cancelled.
    func permit(_ work: Work) throws -> Permit {
        try isFree.wait(work) { (isFree: inout Bool) -> Void? in
            guard isFree else { return nil }
            isFree = false
            return ()
        }
        return Permit(self)
    }

    /// The front of a file, if it fits the limit; otherwise no bytes.
    func keep(_ front: [UInt8]) -> [UInt8] {
        kept.withLock { kept in
            guard front.count <= mostKept - kept else { return [] }
            kept += front.count
            return front
        }
    }
}
