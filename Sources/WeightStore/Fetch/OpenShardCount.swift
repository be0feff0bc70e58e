import Foundation
import Support

/// The number of shards that a fetch has begun and that are neither committed nor given up: each has two open files, its
/// partial file and the lock of it. An origin may be faster than the disk, so a fetch waits while there are many.
///
/// Sendable because its state is accessed only under the condition's lock.
final class OpenShardCount: @unchecked Sendable {
    private let condition = NSCondition()
    private var count = 0
    private var hasStopped = false

    func add() {
        condition.lock()
        defer { condition.unlock() }
        count += 1
    }

    func subtract(_ shards: Int) {
        condition.lock()
        defer { condition.unlock() }
        count -= shards
        condition.broadcast()
    }

    /// Ends all waits, now and later.
    func stop() {
        condition.lock()
        defer { condition.unlock() }
        hasStopped = true
        condition.broadcast()
    }

    /// Waits until the number is at most `limit`, or ``stop()`` is called.
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
        while count > limit, !hasStopped, !work.isCancelled { condition.wait() }
        try work.check()
    }

    private func isAtMost(_ limit: Int) -> Bool {
        condition.lock()
        defer { condition.unlock() }
        return count <= limit || hasStopped
    }
}
