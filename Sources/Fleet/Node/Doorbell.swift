import Foundation

/// Wakes a thread that waits for something to do.
///
/// Sendable because its state is touched under the condition's lock alone.
final class Doorbell: @unchecked Sendable {
    private let condition = NSCondition()
    private var rings = 0

    func ring() {
        condition.lock()
        rings += 1
        condition.broadcast()
        condition.unlock()
    }

    /// How often it was rung.
    var count: Int {
        condition.lock()
        defer { condition.unlock() }
        return rings
    }

    /// Waits until it has been rung more often than `seen`, or for so many seconds.
    func wait(beyond seen: Int, seconds: Double) {
        let end = Date(timeIntervalSinceNow: seconds)
        condition.lock()
        defer { condition.unlock() }
        while rings <= seen, condition.wait(until: end) {}
    }
}
