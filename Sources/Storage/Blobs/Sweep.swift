import Files
import GRDB

/// Removal of blobs whose rows are gone.
package struct Sweep: Sendable {
    package let catalog: Catalog
    package let blobs: BlobDirectory

    package init(catalog: Catalog, blobs: BlobDirectory) {
        self.catalog = catalog
        self.blobs = blobs
    }

    /// Removes blobs that no row knows: what a transaction has just forgotten, or a crash has left.
    ///
    /// Transaction first, unlink after. Each look at the rows and the removals that follow it are one hold of the
    /// write lock, in slices, so that a long removal keeps nobody waiting.
    ///
    /// - Returns: the blobs removed, and their bytes.
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
