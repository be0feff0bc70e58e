import GRDB
import Logging
import Synchronization

/// Counts accesses in memory, and writes them to the catalog in batches: reads are not writes.
///
/// A crash loses at most one batch of counts, and a full disk as many as it likes: never a read.
final class AccessLog: Sendable {
    private struct Use {
        var count = 0
        /// Seconds since 1970.
        var last = 0
    }

    private struct Uses {
        var shards: [Int64: Use] = [:]
        var revisions: [Int64: Use] = [:]
        var isEmpty: Bool { shards.isEmpty && revisions.isEmpty }
    }

    /// As many shards are counted in memory at most.
    static let batch = 4096

    private let catalog: Catalog
    private let logger: Logger
    private let tiers: TierSet
    private let uses = Mutex(Uses())

    /// - Parameter tiers: count the uses of their shards themselves, and are asked for them.
    init(catalog: Catalog, tiers: TierSet, logger: Logger) {
        self.catalog = catalog
        self.tiers = tiers
        self.logger = logger
    }

    func revision(_ id: Int64) {
        uses.withLock { $0.revisions[id, default: Use()].count += 1; $0.revisions[id]!.last = Clock.now }
    }

    func shards(_ ids: some Sequence<Int64>) {
        let now = Clock.now
        let isFull = uses.withLock { uses in
            for id in ids {
                uses.shards[id, default: Use()].count += 1
                uses.shards[id]!.last = now
            }
            return uses.shards.count >= Self.batch
        }
        if isFull { flush() }
    }

    func flush() {
        let uses = uses.withLock { uses in
            defer { uses = Uses() }
            return uses
        }
        let resident = tiers.all.flatMap { $0.takeUses() }
        if uses.isEmpty && resident.isEmpty { return }
        do {
            try catalog.write(durable: false) { db in
                for (table, uses) in [("shard", uses.shards), ("revision", uses.revisions)] {
                    let update = try db.cachedStatement(sql: """
                        UPDATE \(table)
                        SET access_count = access_count + ?, last_access = max(last_access, ?)
                        WHERE id = ?
                        """)
                    for (id, use) in uses { try update.execute(arguments: [use.count, use.last, id]) }
                }
                let update = try db.cachedStatement(sql: """
                    UPDATE shard
                    SET access_count = access_count + ?, last_access = max(last_access, ?)
                    WHERE digest = ?
                    """)
                let now = Clock.now
                for use in resident {
                    try update.execute(arguments: [use.count, now - Int(use.secondsAgo), use.digest])
                }
            }
        } catch {
            logger.warning("access counts were lost: \(error)")
        }
    }
}
