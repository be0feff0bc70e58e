import Logging
import Synchronization

/// Keeps the log messages.
struct LogListener: LogHandler {
    final class Lines: Sendable {
        let lines = Mutex<[String]>([])
    }

    let heard: Lines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.notice

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { heard.lines.withLock { $0.append("\(event.message)") } }
}
