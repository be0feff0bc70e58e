import ArgumentParser
import Logging
import WeightStore

/// The options of a service's log on standard error.
struct LogOptions: ParsableArguments {
    @Option(
        name: .customLong("log-format"),
        help: ArgumentHelp(
            "The format of the log: text, or json (an object in each line) (default: $WEIGHTSTORE_LOG_FORMAT, or text).",
            valueName: "text|json"))
    private var givenFormat: ServiceLogHandler.Format?
    @Option(
        name: .customLong("log-level"),
        help: ArgumentHelp(
            "The least level of events in the log: trace, debug, info, notice, warning, error, critical (default: "
                + "$WEIGHTSTORE_LOG_LEVEL, or info).", valueName: "level"))
    private var givenLevel: Logger.Level?
    @Flag(help: "Log warnings and errors only: the level warning.") var quiet = false

    private var format: ServiceLogHandler.Format {
        givenFormat ?? Setting.environment("WEIGHTSTORE_LOG_FORMAT").flatMap { .init(rawValue: $0) } ?? .text
    }

    private var level: Logger.Level {
        if let givenLevel { return givenLevel }
        if quiet { return .warning }
        return Setting.environment("WEIGHTSTORE_LOG_LEVEL").flatMap { .init(rawValue: $0) } ?? .info
    }

    func validate() throws {
        if let text = Setting.environment("WEIGHTSTORE_LOG_FORMAT"), ServiceLogHandler.Format(rawValue: text) == nil {
            throw ValidationError("WEIGHTSTORE_LOG_FORMAT=\(text): must be text or json")
        }
        if let text = Setting.environment("WEIGHTSTORE_LOG_LEVEL"), Logger.Level(rawValue: text) == nil {
            let levels = Logger.Level.allCases.map(\.rawValue).joined(separator: ", ")
            throw ValidationError("WEIGHTSTORE_LOG_LEVEL=\(text): must be one of \(levels)")
        }
    }

    /// A log for one part of a service.
    ///
    /// - Parameter least: the part's own least level, if it is higher.
    func logger(_ label: String, atLeast least: Logger.Level = .trace) -> Logger {
        Logger(label: label) { [format, level = max(level, least)] _ in ServiceLogHandler(format, level: level) }
    }
}

extension ServiceLogHandler.Format: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}
