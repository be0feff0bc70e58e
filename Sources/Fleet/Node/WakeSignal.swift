import Foundation

/// Wakes a thread that waits for work.
///
/// Sendable because its state is accessed only under the condition's lock.
final class WakeSignal: @unchecked Sendable {
    private let condition = NSCondition()
    private var rings = 0

    func ring() {
        condition.lock()
        rings += 1
        condition.broadcast()
        condition.unlock()
    }

    /// The number of rings so far.
    var count: Int {
        condition.lock()
        defer { condition.unlock() }
        return rings
    }

    /// Waits until there were more than `seen` rings, at most for so many seconds.
    func wait(beyond seen: Int, seconds: Double) {
        let end = Date(timeIntervalSinceNow: seconds)
        condition.lock()
        defer { condition.unlock() }
        while rings <= seen, condition.wait(until: end) {}
    }
}
