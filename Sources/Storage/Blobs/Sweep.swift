import Files
import GRDB

/// The removal of blobs without rows.
package struct Sweep: Sendable {
    package let catalog: Catalog
    package let blobs: BlobDirectory

    package init(catalog: Catalog, blobs: BlobDirectory) {
        self.catalog = catalog
        self.blobs = blobs
    }

    /// Removes those of the blobs that have no row, because a transaction deleted it or a crash left them behind.
    ///
    /// The transaction commits before the unlink. The check of the rows and the removals after it hold the write lock
    /// together, in slices of 64 blobs, so that a long removal does not block other writers.
    ///
    /// - Parameter dryRun: count, but remove nothing.
    /// - Returns: the number of blobs removed, and their total size in bytes.
    @discardableResult
    package func callAsFunction(_ candidates: [BlobDirectory.Name], dryRun: Bool = false) throws -> (
        blobs: Int, bytes: Int
    ) {
        var removed = (blobs: 0, bytes: 0)
        var rest = candidates[...]
        while !rest.isEmpty {
            let slice = rest.prefix(64)
            rest = rest.dropFirst(slice.count)
            try catalog.write { db in
                for name in slice where try !Self.isKnown(name, db) {
                    let path = blobs.path(name.digest, name.kind)
                    guard let status = try FileSystem.status(path) else { continue }
                    if !dryRun { try FileSystem.remove(path) }
                    removed.blobs += 1
                    removed.bytes += status.bytes
                }
            }
        }
        return removed
    }

    private static func isKnown(_ name: BlobDirectory.Name, _ db: Database) throws -> Bool {
        switch name.kind {
        case .shard: try ShardTable.isPresent(name.digest, db)
        case .manifest: try RevisionTable.hasManifest(name.digest, db)
        case .record: try ModelTable.hasRecord(name.digest, db)
        }
    }
}
