import Foundation
import Support

/// The number of shards that were added to a committer and are not committed.
///
/// Sendable because its state is accessed only under the condition's lock.
final class UncommittedCount: @unchecked Sendable {
    private let condition = NSCondition()
    private var count = 0

    func add(_ shards: Int) {
        condition.lock()
        defer { condition.unlock() }
        count += shards
    }

    func subtract(_ shards: Int) {
        condition.lock()
        defer { condition.unlock() }
        count -= shards
        condition.broadcast()
    }

    private func isAtMost(_ limit: Int) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        return count <= limit
    }

    /// Waits until the number is at most `limit`.
    ///
    /// - Throws: `CancellationError` once the work is cancelled.
    func wait(untilAtMost limit: Int, _ work: Work) throws {
        try work.check()
        if isAtMost(limit) { return }
        // With the lock held: a thread that has found the work not cancelled waits by then.
        let handler = work.onCancel { [self] in
            condition.lock()
            defer { condition.unlock() }
            condition.broadcast()
        }
        defer { withExtendedLifetime(handler) {} }
        condition.lock()
        defer { condition.unlock() }
        while count > limit, !work.isCancelled { condition.wait() }
        try work.check()
    }
}
