import Support
import Synchronization

/// The origins of which a failure was reported: an origin that is down fails for each shard, and is reported once a minute.
final class ReportedOrigins: Sendable {
    /// The seconds for which further failures of an origin are not reported.
    private static let seconds = 60.0

    private let table = Mutex<[ByteText: ContinuousClock.Instant]>([:])

    /// Whether a failure of an origin is to be reported now: none was within the time.
    func isDue(_ url: String) -> Bool {
        table.withLock { table in
            let now = ContinuousClock.now
            if let last = table[ByteText(url)], now - last < .seconds(Self.seconds) { return false }
            table[ByteText(url)] = now
            return true
        }
    }
}
