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

    /// Reads the settings.
    ///
    /// - Throws: `DatabaseError.damaged` for a negative quota, and for watermarks that are no fractions.
    package init(_ kind: QuotaKind, _ db: Database) throws {
        bytes = try SettingTable.get(kind.setting("quota", "bytes"), db)
        high = try SettingTable.get(kind.setting("quota", "high"), db) ?? high
        low = try SettingTable.get(kind.setting("quota", "low"), db) ?? low
        policy = try SettingTable.get(kind.setting("quota", "policy"), db) ?? kind.defaultPolicy
        guard bytes ?? 0 >= 0, 0...1 ~= high, 0...1 ~= low else {
            throw DatabaseError.damaged("unexpected value in the settings of the quota")
        }
    }

    /// Writes the settings.
    package func save(_ kind: QuotaKind, _ db: Database) throws {
        try SettingTable.set(kind.setting("quota", "bytes"), bytes, db)
        try SettingTable.set(kind.setting("quota", "high"), high, db)
        try SettingTable.set(kind.setting("quota", "low"), low, db)
        try SettingTable.set(kind.setting("quota", "policy"), policy, db)
    }
}
