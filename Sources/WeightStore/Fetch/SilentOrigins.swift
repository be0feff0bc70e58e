import Support
import Synchronization

/// The origins that did not answer a recent check: they are not tried again at once.
final class SilentOrigins: Sendable {
    /// The seconds for which an origin without an answer is not tried again.
    private static let seconds = 60.0

    private let table = Mutex<[ByteText: (until: ContinuousClock.Instant, reason: String)]>([:])

    /// - Returns: why the origin did not answer; nil if it may be tried.
    func reason(_ url: String) -> String? {
        table.withLock { table in table[ByteText(url)].flatMap { $0.until > .now ? $0.reason : nil } }
    }

    func add(_ url: String, _ reason: String) {
        table.withLock { $0[ByteText(url)] = (.now + .seconds(Self.seconds), reason) }
    }

    func removeAll() { table.withLock { $0 = [:] } }
}
