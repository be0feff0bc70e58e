import Foundation
import Glibc
import Logging
import Support
import WeightStore

/// The log of a service on standard error: one line per event.
///
/// - `text`: time, level and message.
/// - `json`: an object with `time`, `level` and `message`, and the facts of the event, such as the token of a request.
///
/// If systemd reads standard error, a line begins with the priority of its level, `<4>` for a warning, which the journal
/// stores (sd-daemon(3)); text then has neither time nor level, because the journal has both. No line has the secrets of a URL.
struct ServiceLogHandler: LogHandler {
    enum Format: String, CaseIterable, Sendable { case text, json }

    var metadata: Logger.Metadata = [:]
    var logLevel: Logger.Level
    private let format: Format
    private let isForJournal: Bool

    init(_ format: Format, level: Logger.Level) {
        self.format = format
        logLevel = level
        isForJournal = Self.isJournal(STDERR_FILENO)
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let time = Date.now.formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
        let message = Self.line("\(event.message)".withoutURLSecrets)
        let facts = metadata.merging(event.metadata ?? [:]) { $1 }
        let line =
            switch format {
            case .text where isForJournal: message
            case .text: "\(time) \(event.level) \(message)"
            case .json: Self.json(time, event.level, message, facts)
            }
        let priority = isForJournal ? "<\(Self.priority(event.level))>" : ""
        Terminal.writeErrorVerbatim(priority + line + "\n")
    }

    /// A text without control characters. An error's text may have line feeds: the rest would be an event of its own; a
    /// terminal may interpret the others.
    static func line(_ text: String) -> String {
        text.replacing(scalars: { $0.properties.generalCategory == .control ? " " : nil })
    }

    private static func json(
        _ time: String, _ level: Logger.Level, _ message: String, _ facts: Logger.Metadata
    ) -> String {
        var object: [String: Any] = facts.mapValues(value)
        object["time"] = time
        object["level"] = level.rawValue
        object["message"] = message
        // Texts and finite numbers are always encoded.
        let bytes = try? JSONSerialization.data(
            withJSONObject: object, options: [.sortedKeys, .withoutEscapingSlashes])
        return String(decoding: bytes ?? Data(), as: UTF8.self)
    }

    private static func value(_ value: Logger.Metadata.Value) -> Any {
        switch value {
        case .string(let text): text.withoutURLSecrets
        case .stringConvertible(let number as Int): number
        case .stringConvertible(let number as Double) where number.isFinite: number
        case .stringConvertible(let other): other.description.withoutURLSecrets
        case .array(let items): items.map(Self.value)
        case .dictionary(let items): items.mapValues(Self.value)
        }
    }

    /// The level of syslog(3).
    private static func priority(_ level: Logger.Level) -> Int {
        switch level {
        case .trace, .debug: 7
        case .info: 6
        case .notice: 5
        case .warning: 4
        case .error: 3
        case .critical: 2
        }
    }

    /// Whether a descriptor is connected to the journal: `JOURNAL_STREAM` has its device and inode (systemd.exec(5)).
    private static func isJournal(_ descriptor: Int32) -> Bool {
        guard let stream = Setting.environment("JOURNAL_STREAM") else { return false }
        var facts = stat()
        return fstat(descriptor, &facts) == 0 && stream == "\(facts.st_dev):\(facts.st_ino)"
    }
}
