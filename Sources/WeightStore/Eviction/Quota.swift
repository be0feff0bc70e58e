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

    var highBytes: Int? { bytes.map { Int(Double($0) * high) } }
    var lowBytes: Int? { bytes.map { Int(Double($0) * low) } }

    init(_ kind: QuotaKind, _ db: Database) throws {
        bytes = try Settings.get(kind.setting("quota", "bytes"), db)
        high = try Settings.get(kind.setting("quota", "high"), db) ?? high
        low = try Settings.get(kind.setting("quota", "low"), db) ?? low
        policy = try Settings.get(kind.setting("quota", "policy"), db) ?? kind.defaultPolicy
    }

    func save(_ kind: QuotaKind, _ db: Database) throws {
        try Settings.set(kind.setting("quota", "bytes"), bytes, db)
        try Settings.set(kind.setting("quota", "high"), high, db)
        try Settings.set(kind.setting("quota", "low"), low, db)
        try Settings.set(kind.setting("quota", "policy"), policy, db)
    }
}

/// What the disk tier holds.
public struct DiskGauge: Sendable, Codable {
    public let quota: Quota
    /// Shards that are present, and their bytes.
    public let shards: Int
    public let bytes: Int
    /// Bytes of shards that went, and that an origin has.
    public let evicted: Int
    /// Of `bytes`, what may be evicted now;
    public let evictable: Int
    /// what may not because a living process holds its revision, or its import is under way;
    public let inUse: Int
    /// what may not because its revision is pinned;
    public let pinned: Int
    /// and what may not because no origin has it: it goes only when a person removes the model.
    public let withoutOrigin: Int
}

extension Store {
    /// The disk's quota for weights. It is kept in the catalog, so all processes have the same.
    public var quota: Quota {
        get throws { try quota(of: .weights) }
    }

    /// The disk's quota for weights, or for KV blocks.
    public func quota(of kind: QuotaKind) throws -> Quota { try catalog.read { db in try Quota(kind, db) } }

    /// - Throws: ``StoreError/invalid(what:value:reason:)``; ``StoreError/notFound(kind:name:hint:)`` for a policy that is
    ///   not there; ``StoreError/policyRefused(policy:line:message:)`` for one that can't be run.
    public func setQuota(_ quota: Quota, of kind: QuotaKind = .weights) throws {
        guard 0 < quota.low, quota.low <= quota.high, quota.high <= 1 else {
            throw StoreError.invalid(
                what: "pair of watermarks", value: "high \(quota.high), low \(quota.low)",
                reason: "0 < low ≤ high ≤ 1 must hold")
        }
        if let bytes = quota.bytes, bytes < 1 {
            throw StoreError.invalid(what: "quota", value: "\(bytes)", reason: "it is a number of bytes, 1 or more")
        }
        try check(policy(quota.policy))
        try catalog.write { db in try quota.save(kind, db) }
    }

    /// How full the disk tier is, and what of it may go. KV blocks have a gauge of their own.
    public func diskGauge() throws -> DiskGauge {
        let holders = try leases.holders()
        let candidates = try DiskCandidates(catalog.path, holders)
        let sums = try candidates.database.prepare("""
            SELECT coalesce(sum(CASE WHEN evictable AND id NOT IN held THEN bytes END), 0),
                   coalesce(sum(CASE WHEN evictable AND id IN held THEN bytes END), 0),
                   coalesce(sum(CASE WHEN NOT evictable AND id IN (
                     SELECT extent.shard_id
                     FROM pin
                     JOIN revision_file ON revision_file.revision_id = pin.revision_id
                     JOIN extent ON extent.file_id = revision_file.file_id) THEN bytes END), 0),
                   coalesce(sum(bytes), 0), count(*)
            FROM main.shard WHERE state = 'present' AND kind <> 'kv'
            """)
        _ = try sums.step()
        let bytes = sums.integer(3)
        let known = (evictable: sums.integer(0), inUse: sums.integer(1), pinned: sums.integer(2))
        return try catalog.read { db in
            DiskGauge(
                quota: try Quota(.weights, db), shards: sums.integer(4), bytes: bytes,
                evicted: try Int.fetchOne(
                    db, sql: "SELECT coalesce(sum(bytes), 0) FROM shard WHERE state = 'evicted'")!,
                evictable: known.evictable, inUse: known.inUse, pinned: known.pinned,
                withoutOrigin: bytes - known.evictable - known.inUse - known.pinned)
        }
    }
}
