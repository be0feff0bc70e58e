import GRDB

/// How much of the disk shards may take, and how eviction keeps it so.
public struct Quota: Sendable, Codable, Equatable {
    /// Bytes of shards at most; nil means no limit.
    public var bytes: Int?
    /// Share of the quota above which eviction starts.
    public var high = 0.95
    /// Share of the quota at which it stops.
    public var low = 0.85
    /// The policy's name.
    public var policy = "lru"

    public init(bytes: Int? = nil) { self.bytes = bytes }

    package var highBytes: Int? { bytes.map { Int(Double($0) * high) } }
    package var lowBytes: Int? { bytes.map { Int(Double($0) * low) } }

    package init(_ kind: QuotaKind, _ db: Database) throws {
        bytes = try SettingTable.get(kind.setting("quota", "bytes"), db)
        high = try SettingTable.get(kind.setting("quota", "high"), db) ?? high
        low = try SettingTable.get(kind.setting("quota", "low"), db) ?? low
        policy = try SettingTable.get(kind.setting("quota", "policy"), db) ?? kind.defaultPolicy
    }

    package func save(_ kind: QuotaKind, _ db: Database) throws {
        try SettingTable.set(kind.setting("quota", "bytes"), bytes, db)
        try SettingTable.set(kind.setting("quota", "high"), high, db)
        try SettingTable.set(kind.setting("quota", "low"), low, db)
        try SettingTable.set(kind.setting("quota", "policy"), policy, db)
    }
}
