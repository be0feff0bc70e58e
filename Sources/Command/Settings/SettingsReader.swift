import Configuration
import Synchronization

/// The values of settings: of the environment, else of the first file that has one.
struct SettingsReader {
    /// A value, and where it is from.
    struct Found {
        let text: String
        /// A variable, or a file and a line.
        let source: String
        let isFromFile: Bool
    }

    private let reader: ConfigReader
    private let last = LastAccess()

    /// - Parameter files: the most important first.
    init(environment: [String: String], files: [SettingsFile]) {
        reader = ConfigReader(
            providers: [SettingsProvider.environment(environment)] + files.map { .file($0) }, accessReporter: last)
    }

    /// - Returns: nil if the setting has its default.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` if a file has a value that the setting does not have.
    func value(of setting: Setting) throws -> Found? {
        let text = reader.string(forKey: ConfigKey(setting.key), isSecret: setting.kind.isSecret)
        // The reader returns no errors and no origins; the event has both.
        guard let answers = last.event.withLock(\.self)?.providerResults, let answer = answers.last else { return nil }
        let place = try answer.result.get().encodedKey
        // The first provider is the environment, and the last one that was asked has the value.
        return text.map { Found(text: $0, source: place, isFromFile: answers.count > 1) }
    }

    private final class LastAccess: AccessReporter {
        let event = Mutex<AccessEvent?>(nil)

        func report(_ event: AccessEvent) { self.event.withLock { $0 = event } }
    }
}
