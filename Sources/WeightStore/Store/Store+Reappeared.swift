import Crypto
import Files
import GRDB
import Storage
import Support

/// Blobs that are back: the catalog lists their shards as missing or quarantined. So are those of evicted shards that no
/// origin has: an eviction or a fetch that was killed has left the file, and it is the last copy.
extension Store {
    /// Hashes the file of a shard that is not listed as present, and makes the shard present again.
    ///
    /// - Parameter file: the path of the file: that of the blob, or one in `quarantine/`, which becomes the blob.
    /// - Returns: false if the file does not exist, is damaged, or the shard is no longer listed so. A damaged blob is
    ///   moved to `quarantine/`, so that no later call hashes it, and its shard is listed as quarantined.
    func reinstate(_ shard: ShardTable.Entry, from file: String, _ work: Work) throws -> Bool {
        let damage = try damage(of: shard.digest, bytes: shard.bytes, in: file) { _ in try work.check() }
        if damage?.state == .missing { return false }
        let blob = blobs.path(shard.digest)
        return try catalog.write { db in
            guard let row = try ShardTable.find(shard.digest, db), row.state != .present else { return false }
            if let damage {
                guard file == blob else { return false }
                try blobs.moveToQuarantine(.init(digest: shard.digest, kind: .shard))
                try ShardTable.mark(shard.digest, as: .quarantined, db)
                // The damage of a shard in another state is recorded already.
                if row.state == .evicted { log(damage, of: row, try Self.recordDamage(damage, of: row, db)) }
                return false
            }
            if file != blob {
                try StoreFile.createDirectory(blobs.directory(shard.digest))
                try FileSystem.rename(file, to: blob)
                try FileSystem.syncDirectory(path + "/quarantine")
            }
            try FileSystem.syncDirectory(blobs.directory(shard.digest))
            try ShardTable.mark(shard.digest, as: .present, db)
            try ShardTable.markVerified([row.id], db)
            if row.state != .evicted {
                try EventTable.append(
                    .repair(of: shard.digest, "its file is back", try Self.revisions(holding: row.id, db)), db)
            }
            logger.notice("shard \(shard.digest.short): its file is back; present again")
            return true
        }
    }

    /// The evicted shards that no origin has.
    static func lostEvicted(_ db: Database) throws -> Set<ContentDigest> {
        var lost: Set<ContentDigest> = []
        _ = try AbsentShards.count(of: nil, db) { _, digest in lost.insert(digest) }
        return lost
    }

    /// The digest of a file's bytes, which are read from the disk, past the page cache.
    ///
    /// - Parameters:
    ///   - bytes: the expected size; nil is returned for a file of another size.
    ///   - read: called with the number of bytes of each read.
    static func digest(
        of file: borrowing FileDescriptor, bytes: Int, _ buffer: Buffer, _ read: (Int) throws -> Void
    ) throws -> ContentDigest? {
        guard try file.status().bytes == bytes else { return nil }
        // Where O_DIRECT is not supported, the page cache is read.
        _ = file.setDirect(true)
        var hasher = SHA256()
        var offset = 0
        while offset < bytes {
            let count = try file.readOnce(at: offset, into: buffer.writableBytes(buffer.capacity))
            if count == 0 { return nil }
            hasher.update(bufferPointer: buffer.bytes(count))
            offset += count
            try read(count)
            // A short read leaves an offset from which O_DIRECT does not read on.
            if offset % Buffer.alignment != 0 { _ = file.setDirect(false) }
        }
        return ContentDigest(hasher.finalize())
    }
}
