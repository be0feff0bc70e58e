import Configuration

/// The settings of the environment, or of one file, for ``SettingsReader``: all texts, as the environment has them.
struct SettingsProvider: ConfigProvider, ConfigSnapshot {
    /// A value, and its place: a variable, or a line.
    struct Found {
        let text: String
        let place: String
    }

    let providerName: String
    private let find: @Sendable (_ key: String) throws -> Found?

    /// Of the environment as it is now.
    static func environment(_ environment: [String: String]) -> Self {
        Self(providerName: "environment") { key in
            for variable in Setting.known[key]?.variables ?? [] {
                if let text = environment[variable], !text.isEmpty { return Found(text: text, place: "$\(variable)") }
            }
            return nil
        }
    }

    /// Of a file. A value that the setting does not have throws ``StorageError/invalid(what:value:reason:)``.
    static func file(_ file: SettingsFile) -> Self {
        let entries = Dictionary(file.entries.map { ($0.key, $0) }) { first, _ in first }
        return Self(providerName: file.path) { key in
            guard let setting = Setting.known[key], let entry = entries[key] else { return nil }
            return Found(text: try setting.text(of: entry, in: file), place: "\(file.path), line \(entry.line)")
        }
    }

    func value(forKey key: AbsoluteConfigKey, type: ConfigType) throws -> LookupResult {
        let name = key.components.joined(separator: ".")
        guard type == .string, let found = try find(name) else { return LookupResult(encodedKey: name, value: nil) }
        let isSecret = Setting.known[name]?.kind.isSecret ?? true
        return LookupResult(encodedKey: found.place, value: ConfigValue(.string(found.text), isSecret: isSecret))
    }

    func fetchValue(forKey key: AbsoluteConfigKey, type: ConfigType) async throws -> LookupResult {
        try value(forKey: key, type: type)
    }

    func snapshot() -> any ConfigSnapshot { self }

    // The settings of a process do not change.

    nonisolated(nonsending) func watchValue<Return: ~Copyable>(
        forKey key: AbsoluteConfigKey, type: ConfigType,
        updatesHandler:
            nonisolated(nonsending) (
                _ updates: ConfigUpdatesAsyncSequence<Result<LookupResult, any Error>, Never>
            ) async throws -> Return
    ) async throws -> Return {
        try await watchValueFromValue(forKey: key, type: type, updatesHandler: updatesHandler)
    }

    nonisolated(nonsending) func watchSnapshot<Return: ~Copyable>(
        updatesHandler:
            nonisolated(nonsending) (
                _ updates: ConfigUpdatesAsyncSequence<any ConfigSnapshot, Never>
            ) async throws -> Return
    ) async throws -> Return {
        try await watchSnapshotFromSnapshot(updatesHandler: updatesHandler)
    }
}
