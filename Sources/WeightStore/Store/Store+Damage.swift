import Crypto
import Files
import GRDB
import Glibc
import Storage
import Support

/// A present shard whose blob is not what its row says.
struct BlobDamage {
    /// The state that the shard gets: missing or quarantined.
    let state: ShardState
    let detail: String
}

/// A damaged or missing shard of weights, with the revisions that need it.
public struct DamagedShard: Sendable, Codable {
    /// The SHA-256 that the shard should have.
    public let digest: ContentDigest
    /// Whether its file is missing, rather than damaged.
    public let isMissing: Bool
    /// The names of the revisions that hold it.
    public let revisions: [String]
}

extension Store {
    /// The shards of weights that reads or verifications found damaged or missing, and that nothing has restored since.
    ///
    /// - Parameter limit: the maximal number of shards in the result.
    public func damagedShards(limit: Int = 100) throws -> [DamagedShard] {
        try catalog.read { db in
            try ShardTable.lost(db).prefix(limit).map { shard in
                DamagedShard(
                    digest: shard.digest, isMissing: shard.state == .missing,
                    revisions: try Self.revisions(holding: shard.id, db))
            }
        }
    }

    /// Makes a shard available again that a read did not find, or found damaged: a damaged blob is moved to quarantine, and
    /// the shard is fetched from an origin. Blocks.
    ///
    /// - Parameter arrived: receives the fetched file when it was checked, before it is durable.
    /// - Returns: the bytes in memory, if there is no room to store them; nil if the blob can be read now.
    /// - Throws: `error` if no origin has the shard, or for any other failure than of one blob; errors of the fetch.
    func recover(
        from error: StorageError, _ work: Work, arrived: FetchedShard.Receiver? = nil
    ) throws -> MemoryFile? {
        guard let digest = error.lostBlob else { throw error }
        try setAsideIfDamaged(digest, after: error, work)
        do {
            try refetch(digest, onUse: true, arrived: arrived, work)
            return nil
        } catch StorageError.missing {
            throw error
        } catch let refusal where Self.isOutOfSpace(refusal) {
            return try passThrough(digest, because: refusal, work)
        }
    }

    /// Moves the blob of a shard to quarantine if a read found it damaged, and two more reads do, too.
    func setAsideIfDamaged(_ digest: ContentDigest, after error: StorageError, _ work: Work) throws {
        guard case .damaged = error,
            let shard = try catalog.read({ db in try ShardTable.find(digest, db) }), shard.state == .present,
            // The caller drops the block.
            shard.kind != .kv
        else { return }
        let found = try damage(of: shard.digest, bytes: shard.bytes) { _ in try work.check() }
        guard let found else {
            logger.warning("\(error) A second read was correct.")
            return
        }
        do {
            _ = try setAside(shard, found, work)
        } catch let failure {
            // The store may be read-only, or its disk full: the read fails because of the damage.
            logger.warning("shard \(digest.short): could not be moved to quarantine: \(failure)")
            throw error
        }
    }

    /// Hashes the blob of a shard. The catalog is read only if it is damaged: then the blob of a present shard is moved to
    /// quarantine.
    ///
    /// - Returns: whether the blob is whole.
    func isWhole(_ facts: ShardFacts, _ work: Work) throws -> Bool {
        let found = try damage(of: facts.digest, bytes: facts.bytes) { _ in try work.check() }
        guard let found else { return true }
        if let shard = try catalog.read({ db in try ShardTable.find(facts.digest, db) }), shard.state == .present {
            _ = try discard(shard, found, work)
        }
        return false
    }

    /// Drops the KV block of a bad shard, and sets a shard of weights aside: also the one of a block whose bytes a file has,
    /// too.
    ///
    /// - Returns: the number of blocks dropped, and as `setAside`.
    func discard(
        _ shard: ShardTable.Entry, _ damage: BlobDamage, _ work: Work
    ) throws -> (blocks: Int, revisions: [String]?) {
        guard shard.kind == .kv else { return (0, try setAside(shard, damage, work)) }
        let blocks = try dropKVBlock(shard.digest, isMissing: damage.state == .missing)
        guard let rest = try catalog.read({ db in try ShardTable.find(shard.digest, db) }), rest.kind != .kv else {
            return (blocks, nil)
        }
        return (blocks, try setAside(rest, damage, work))
    }

    /// Compares the file of a shard with its digest, from the disk. A disk may return wrong bytes once; only damage
    /// that is read twice is damage.
    ///
    /// - Parameters:
    ///   - bytes: the size of the shard.
    ///   - file: the path of the file; that of the shard's blob if nil.
    ///   - buffer: memory for the reads, which many calls may use in turn; if nil, as much as the shard needs is allocated.
    ///   - read: called with the number of bytes of each read.
    /// - Returns: nil if it is whole.
    func damage(
        of digest: ContentDigest, bytes: Int, in file: String? = nil, _ buffer: Buffer? = nil,
        _ read: (Int) throws -> Void
    ) throws -> BlobDamage? {
        let path = file ?? blobs.path(digest)
        let buffer = buffer ?? Self.readBuffer(for: bytes)
        let first = try Self.damageOnce(of: digest, bytes: bytes, in: path, buffer, read)
        guard first?.state == .quarantined else { return first }
        let second = try Self.damageOnce(of: digest, bytes: bytes, in: path, buffer, read)
        if second == nil {
            logger.warning("shard \(digest.short): the first read was wrong, the second correct")
        }
        return second
    }

    /// Memory to read a file of this size with O_DIRECT, of which small files need a page.
    static func readBuffer(for bytes: Int) -> Buffer {
        let page = Buffer.alignment
        let pages = bytes < BufferPool.bufferBytes ? max((bytes + page - 1) / page, 1) : BufferPool.bufferBytes / page
        return Buffer(uninitialized: pages * page)
    }

    private static func damageOnce(
        of shard: ContentDigest, bytes expected: Int, in path: String, _ buffer: Buffer, _ read: (Int) throws -> Void
    ) throws -> BlobDamage? {
        do {
            guard let file = try FileDescriptor.openIfPresent(path) else {
                return BlobDamage(state: .missing, detail: "its file does not exist")
            }
            let bytes = try file.status().bytes
            guard bytes == expected else {
                return BlobDamage(state: .quarantined, detail: "\(bytes) bytes, expected \(expected)")
            }
            guard let found = try digest(of: file, bytes: expected, buffer, read) else {
                return BlobDamage(state: .quarantined, detail: "SHA-256 is unknown: the file ended early")
            }
            if found == shard { return nil }
            return BlobDamage(state: .quarantined, detail: "SHA-256 is \(found.short)")
        } catch let error as FileError where error.isUnreadable {
            return BlobDamage(state: .quarantined, detail: error.damage)
        }
    }

    /// Marks a bad shard of weights, and moves a damaged blob to `quarantine/`, unless the shard was removed meanwhile.
    ///
    /// - Returns: the names of the revisions that need it; nil if nothing was changed.
    func setAside(_ shard: ShardTable.Entry, _ damage: BlobDamage, _ work: Work) throws -> [String]? {
        let revisions: [String]? = try catalog.write(work: work) { db in
            guard let row = try ShardTable.find(shard.digest, db), row.state == .present else { return nil }
            if damage.state == .missing {
                // The directory may have been unmounted since the shard was read.
                try StoreIdentity.require(blobs, db)
                // As a read finds it: a link to nothing is no file.
                if try FileSystem.status(blobs.path(shard.digest)) != nil { return nil }
            }
            try ShardTable.mark(shard.digest, as: damage.state, db)
            if damage.state == .quarantined { try blobs.moveToQuarantine(.init(digest: shard.digest, kind: .shard)) }
            return try Self.recordDamage(damage, of: row, db)
        }
        if let revisions { log(damage, of: shard, revisions) }
        return revisions
    }

    /// Records the damage of a shard as an event.
    ///
    /// - Returns: the names of the revisions that need the shard.
    static func recordDamage(_ damage: BlobDamage, of shard: ShardTable.Entry, _ db: Database) throws -> [String] {
        let revisions = try Self.revisions(holding: shard.id, db)
        try EventTable.append(.damage(of: shard.digest, damage.detail, revisions), db)
        return revisions
    }

    func log(_ damage: BlobDamage, of shard: ShardTable.Entry, _ revisions: [String]) {
        logger.error("shard \(shard.digest.short): \(damage.detail); affects \(revisions.joined(separator: ", "))")
    }
}
