import Foundation
import Glibc
import Synchronization
import WeightStore

/// The settings of this process: the configuration files and the environment.
enum Settings {
    /// A setting with its value.
    struct Resolved {
        let setting: Setting
        /// nil if it has none.
        let value: String?
        /// A file, an environment variable, or `default`.
        let source: String
    }

    /// A key in a file that is no setting, or a value that the setting does not have.
    struct Problem: Encodable {
        let file: String
        let line: Int
        let key: String
        let problem: String
    }

    /// Where the values that came from files are from, by key.
    private static let sources = Mutex<[String: String]>([:])
    /// The file that `--config` names.
    private static let given = Mutex<String?>(nil)

    /// The files, the most important first, whether they exist or not.
    static var paths: [String] {
        let environment = ProcessInfo.processInfo.environment
        let home =
            environment["XDG_CONFIG_HOME"].flatMap { $0.isEmpty ? nil : $0 }
            ?? environment["HOME"].flatMap { $0.isEmpty ? nil : $0 + "/.config" }
        return [given.withLock { $0 }, home.map { $0 + "/weightstore/config.toml" }, "/etc/weightstore/config.toml"]
            .compactMap(\.self)
    }

    /// The files that exist, the most important first. That of `--config` must exist.
    static func files() throws -> [SettingsFile] {
        let named = given.withLock { $0 }
        return try paths.compactMap { path in
            path == named || FileSystem.exists(path) ? try SettingsFile(path) : nil
        }
    }

    /// Puts the values of the files into the environment, where no variable has one. Called once, before the arguments
    /// are parsed. Unknown keys are left out: a newer program may know them. `weightstore config check` reports them.
    ///
    /// - Parameter config: the file that `--config` names.
    static func apply(config: String?) throws {
        given.withLock { $0 = config }
        let files = try files()
        if files.isEmpty { return }
        let reader = SettingsReader(environment: ProcessInfo.processInfo.environment, files: files)
        for setting in Setting.all {
            guard let found = try reader.value(of: setting), found.isFromFile else { continue }
            setenv(setting.variables[0], found.text, 1)
            sources.withLock { $0[setting.key] = found.source }
        }
    }

    /// All settings with their values.
    static var resolved: [Resolved] {
        Setting.all.map { setting in
            guard let (variable, value) = setting.fromEnvironment else {
                return Resolved(
                    setting: setting, value: setting.standard.isEmpty ? nil : setting.standard, source: "default")
            }
            return Resolved(
                setting: setting, value: value, source: sources.withLock { $0[setting.key] } ?? "$\(variable)")
        }
    }

    /// The problems of the files.
    static func problems() throws -> [Problem] {
        try files().flatMap { file in
            file.entries.compactMap { entry in
                func problem(_ text: String) -> Problem {
                    Problem(file: file.path, line: entry.line, key: entry.key, problem: text)
                }
                guard let setting = Setting.known[entry.key] else {
                    let question = Spelling.question(entry.key, in: Setting.all.map(\.key))
                    return problem(["unknown key.", question].compactMap(\.self).joined(separator: " "))
                }
                do throws(Setting.Unusable) {
                    _ = try setting.text(of: entry.value)
                    return nil
                } catch {
                    return problem("must be \(error.expected)")
                }
            }
        }
    }
}
