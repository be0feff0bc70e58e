import GRDB
import Policies
import Storage

extension Store {
    /// The disk quota for weights. It is stored in the catalog and holds for all processes.
    public var quota: Quota {
        get throws { try quota(of: .weights) }
    }

    /// The disk quota for weights, or for KV blocks.
    public func quota(of kind: QuotaKind) throws -> Quota { try quota(of: kind, except: []) }

    /// - Parameter replaced: settings that have their defaults, because the caller replaces them, whatever the catalog
    ///   has.
    package func quota(of kind: QuotaKind, except replaced: Set<Quota.Setting>) throws -> Quota {
        try catalog.read { db in try Quota(kind, except: replaced, db) }
    }

    /// Sets the disk quota for weights, or for KV blocks. Evicts nothing itself: every process that keeps the store open
    /// compares it with the quota every 10 seconds.
    ///
    /// - Throws: ``StorageError/invalid(what:value:reason:)``; ``StorageError/notFound(kind:name:detail:)`` for an
    ///   unknown policy; ``PolicyError/refused(policy:line:message:)`` for a policy that cannot run.
    public func setQuota(_ quota: Quota, of kind: QuotaKind = .weights) throws {
        guard 0 < quota.low, quota.low <= quota.high, quota.high <= 1 else {
            throw StorageError.invalid(
                what: "watermarks", value: "high \(quota.high), low \(quota.low)",
                reason: "must be above 0 and at most 1, with low at most high")
        }
        if let bytes = quota.bytes, bytes < 1 {
            throw StorageError.invalid(what: "quota", value: "\(bytes)", reason: "must be at least 1 byte")
        }
        try check(policy(quota.policy))
        try catalog.write { db in
            try quota.save(kind, db)
            let (high, low) = (Quantity.percent(quota.high), Quantity.percent(quota.low))
            let detail = quota.bytes == nil ? "none" : "evicts above \(high) down to \(low), by \(quota.policy)"
            try EventTable.append(StoreEvent(.quotaChanged, kind.place, bytes: quota.bytes, detail: detail), db)
        }
    }

    /// How full the disk tier is, and how much of it can be evicted. KV blocks have their own gauge, ``kvGauge()``.
    public func diskGauge() throws -> DiskGauge {
        let holders = try leases.holders()
        let candidates = try DiskCandidates(catalog.readableName, holders)
        let sums = try candidates.database.prepare(
            """
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
                evicted: try Int.fetchValue(
                    db, sql: "SELECT coalesce(sum(bytes), 0) FROM shard WHERE state = 'evicted'"),
                evictable: known.evictable, inUse: known.inUse, pinned: known.pinned,
                withoutOrigin: [known.evictable, known.inUse, known.pinned].reduce(bytes) {
                    $0.subtracting(saturating: $1)
                })
        }
    }
}
