import Logging
import Storage
import Support
import Synchronization

/// The origins of which a failure was logged: an origin that is down fails for each shard, and is logged once a minute.
final class ReportedOrigins: Sendable {
    /// The seconds for which further failures of an origin are not logged.
    private static let seconds = 60.0

    private let table = Mutex<[ByteText: ContinuousClock.Instant]>([:])

    /// Logs that an origin has failed, and that another one is tried.
    func warn(_ error: any Error, of url: String, _ logger: Logger) {
        let isNew = table.withLock { table in
            let now = ContinuousClock.now
            if let last = table[ByteText(url)], now - last < .seconds(Self.seconds) { return false }
            table[ByteText(url)] = now
            return true
        }
        if isNew { logger.warning("\(error) Another origin is tried.") }
    }
}
