import Files
import GRDB

/// The identity of a store: the setting `store.id`, a random number that the marker in `blobs/` repeats.
///
/// `store.marked` is 1 once the marker has been written. The first open of a store that has none writes it, but only if
/// the blobs are there: those of 100 sampled present shards exist, or the catalog has no shard whose blob should.
package enum StoreIdentity {
    private static let id = "store.id"
    private static let marked = "store.marked"
    private static let sample = 100

    /// Whether the marker was written once, and so must be there.
    package static func isMarked(_ db: Database) throws -> Bool { try SettingTable.get(marked, db) ?? 0 == 1 }

    /// Writes the marker of a store that has never had one, if the blobs are there. Call it in `Catalog.write`.
    package static func establish(_ blobs: BlobDirectory, _ db: Database) throws {
        if try !isMarked(db) { _ = try mark(blobs, db) }
    }

    /// Writes the marker if there is none and the blobs are there.
    ///
    /// - Returns: whether the blobs have the marker of this store now.
    private static func mark(_ blobs: BlobDirectory, _ db: Database) throws -> Bool {
        let marker = StoreMarker(blobs)
        let (found, id) = (try marker.read(), try value(db))
        if found != id {
            guard found == nil, try areThere(blobs, db) else { return false }
            try marker.write(id)
        }
        try SettingTable.set(marked, 1, db)
        return true
    }

    /// Writes the marker of blobs that the user declares to belong to this store, such as those of a backup made
    /// without it.
    ///
    /// - Throws: ``StorageError/foreignBlobs(path:found:)`` if the blobs have the marker of another store, or if the
    ///   blobs of sampled shards do not exist.
    package static func confirm(_ blobs: BlobDirectory, _ db: Database) throws {
        guard try mark(blobs, db) else {
            throw StorageError.foreignBlobs(path: blobs.root, found: try StoreMarker(blobs).read())
        }
    }

    /// Gives a new catalog the identity of the blobs that it was made from.
    package static func adopt(_ blobs: BlobDirectory, _ db: Database) throws {
        let marker = StoreMarker(blobs)
        if let found = try marker.read(), !found.isEmpty {
            try SettingTable.set(id, found, db)
        } else {
            try marker.write(try value(db))
        }
        try SettingTable.set(marked, 1, db)
    }

    /// Requires the marker of this store in `blobs/`. Call it in `Catalog.write`.
    ///
    /// - Throws: ``StorageError/foreignBlobs(path:found:)``.
    package static func require(_ blobs: BlobDirectory, _ db: Database) throws {
        try establish(blobs, db)
        let found = try StoreMarker(blobs).read()
        guard try found == value(db), try isMarked(db) else {
            throw StorageError.foreignBlobs(path: blobs.root, found: found)
        }
    }

    private static func value(_ db: Database) throws -> String {
        guard let value: String = try SettingTable.get(id, db) else {
            throw DatabaseError.damaged("the setting \(id) is missing")
        }
        return value
    }

    /// - Throws: ``StorageError/foreignBlobs(path:found:)`` if the marker was written once and is not there, so that the
    ///   blobs cannot be there, either.
    package static func requireIfMarked(_ blobs: BlobDirectory, _ db: Database) throws {
        guard try isMarked(db) else { return }
        let found = try StoreMarker(blobs).read()
        guard try found == value(db) else { throw StorageError.foreignBlobs(path: blobs.root, found: found) }
    }

    /// Whether the blobs of sampled present shards exist.
    private static func areThere(_ blobs: BlobDirectory, _ db: Database) throws -> Bool {
        let shards = try ShardTable.sample(sample, db)
        if shards.isEmpty { return try !ShardTable.hasMissing(db) }
        return try shards.allSatisfy { try !FileSystem.isAbsent(blobs.path($0)) }
    }
}
