import Synchronization

/// Limits the rate of received bytes: a receiver waits until they are due.
final class RateLimit: Sendable {
    private let bytesPerSecond: Double
    private let due = Mutex(ContinuousClock.now)

    init(bytesPerSecond: Int) { self.bytesPerSecond = Double(max(bytesPerSecond, 1)) }

    /// - Returns: the time to wait before more bytes are read from the connection.
    func delay(afterReceiving bytes: Int) -> Duration {
        let now = ContinuousClock.now
        return due.withLock { due in
            // A pause gives no credit beyond 100 ms.
            due = max(due, now - .milliseconds(100)) + .seconds(Double(bytes) / bytesPerSecond)
            return max(due - now, .zero)
        }
    }
}
