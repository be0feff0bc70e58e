import Files
import GRDB
import Storage

/// The totals of a store that are known without reading all shards.
package struct StoreTotals: Sendable {
    package struct Kind: Sendable {
        package let quota: Quota
        package let bytes: Int
        package let shards: Int
    }

    /// Weights, then KV blocks.
    package let kinds: [QuotaKind: Kind]
    package let models: Int
    package let revisions: Int
    /// Shards of weights that are damaged or missing, and their bytes.
    package let damaged: (shards: Int, bytes: Int)
    /// The size of the catalog, and of its write-ahead log.
    package let catalog: (bytes: Int, log: Int)
    /// The free bytes of the disk, and its size without free blocks that are reserved for root.
    package let disk: (available: Int, total: Int)
    /// The last run of each job.
    package let jobs: [JobRecord]
    /// The end of the last run that succeeded of each job, in seconds since 1970.
    package let successes: [String: Int]
}

extension Store {
    /// The totals of the store. Cheap, whatever its size: the catalog keeps the sums.
    package func totals() throws -> StoreTotals {
        let disk = try FileSystem.space(path)
        func bytes(_ file: String) throws -> Int { try FileSystem.status(file)?.bytes ?? 0 }
        let files = try (bytes(catalog.path), bytes(catalog.path + "-wal"))
        return try catalog.read { db in
            let kinds = try QuotaKind.allCases.map { kind in
                try (
                    kind,
                    StoreTotals.Kind(
                        quota: Quota(kind, db), bytes: Totals.bytes(kind, db), shards: Totals.shards(kind, db))
                )
            }
            return StoreTotals(
                kinds: Dictionary(uniqueKeysWithValues: kinds), models: try ModelTable.count(db),
                revisions: try RevisionTable.count(db), damaged: try ShardTable.lostTotal(db),
                catalog: files, disk: disk, jobs: try JobRecord.all(db),
                successes: try JobRecord.successes(db))
        }
    }

    /// Whether the catalog can be read: throws if it cannot.
    package func requireReadable() throws { _ = try catalog.read { db in try Totals.bytes(.weights, db) } }
}
