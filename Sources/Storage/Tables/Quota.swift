import GRDB
import Support

/// The limit on the disk space of shards, and the eviction that enforces it.
public struct Quota: Sendable, Codable, Equatable {
    /// The most bytes of shards; nil means no limit.
    public var bytes: Int?
    /// The fraction of the quota above which eviction starts.
    public var high = 0.95
    /// The fraction of the quota at which eviction stops.
    public var low = 0.85
    /// The name of the eviction policy.
    public var policy = "lru"

    /// Creates a quota with the default watermarks and policy.
    public init(bytes: Int? = nil) { self.bytes = bytes }

    /// The high watermark, in bytes.
    package var highBytes: Int? { bytes.map { Int(saturating: Double($0) * high) } }
    /// The low watermark, in bytes.
    package var lowBytes: Int? { bytes.map { Int(saturating: Double($0) * low) } }

    /// A setting of a quota.
    package enum Setting: String {
        case bytes, high, low, policy

        fileprivate func name(_ kind: QuotaKind) -> String { kind.setting("quota", rawValue) }
    }

    /// Reads the settings.
    ///
    /// - Parameter replaced: settings that are not read, and have their defaults, because the caller replaces them: a
    ///   damaged value can be overwritten.
    /// - Throws: `DatabaseError.damaged` for a negative quota, and for watermarks that are no fractions.
    package init(_ kind: QuotaKind, except replaced: Set<Setting> = [], _ db: Database) throws {
        func value<Value: DatabaseValueConvertible>(
            _ setting: Setting, isValid: (Value) -> Bool = { _ in true }
        ) throws -> Value? {
            guard !replaced.contains(setting) else { return nil }
            guard let value: Value = try SettingTable.get(setting.name(kind), db) else { return nil }
            guard isValid(value) else {
                throw DatabaseError.damaged("unexpected value in the setting \(setting.name(kind)): \(value)")
            }
            return value
        }
        bytes = try value(.bytes) { $0 >= 0 }
        high = try value(.high) { 0...1 ~= $0 } ?? high
        low = try value(.low) { 0...1 ~= $0 } ?? low
        policy = try value(.policy) ?? kind.defaultPolicy
    }

    /// Writes the settings.
    package func save(_ kind: QuotaKind, _ db: Database) throws {
        try SettingTable.set(Setting.bytes.name(kind), bytes, db)
        try SettingTable.set(Setting.high.name(kind), high, db)
        try SettingTable.set(Setting.low.name(kind), low, db)
        try SettingTable.set(Setting.policy.name(kind), policy, db)
    }
}
