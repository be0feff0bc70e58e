import Synchronization

/// Spreads bytes over time: whoever has received some waits until they are due.
final class RateLimit: Sendable {
    private let bytesPerSecond: Double
    private let due = Mutex(ContinuousClock.now)

    init(bytesPerSecond: Int) { self.bytesPerSecond = Double(max(bytesPerSecond, 1)) }

    /// - Returns: how long to wait before more is taken from the wire.
    func take(_ bytes: Int) -> Duration {
        let now = ContinuousClock.now
        return due.withLock { due in
            // What was not used in a pause may not be used later.
            due = max(due, now - .milliseconds(100)) + .seconds(Double(bytes) / bytesPerSecond)
            return max(due - now, .zero)
        }
    }
}
