import GRDB
import ModelFormats

/// Reads and writes the rows of a file's content in `file`, `extent`, `tensor` and `shard`.
extension FileContent {
    /// The content of a file.
    ///
    /// - Parameter pendingToo: include a file with bytes that have not arrived or have not been compared with its
    ///   digest.
    /// - Returns: nil if there is no such file.
    package static func find(_ file: Int64, pendingToo: Bool = false, _ db: Database) throws -> FileContent? {
        guard let file = try FileTable.find(file, db), pendingToo || !file.isPending else { return nil }
        return try content(of: file, db)
    }

    /// The stored content with a digest, one with tensors rather than one without; complete ones only.
    ///
    /// - Parameter hashedOnly: only a content whose bytes were hashed in this store.
    /// - Returns: nil if there is none.
    package static func find(_ digest: ContentDigest, hashedOnly: Bool, _ db: Database) throws -> FileContent? {
        let file = try FileTable.all(digest, db).first { !$0.isPending && ($0.isHashed || !hashedOnly) }
        return try file.map { try content(of: $0, db) }
    }

    private static func content(of file: FileTable.Entry, _ db: Database) throws -> FileContent {
        var content = FileContent(
            digest: file.digest, bytes: file.bytes, format: file.format, shards: [], extents: [], tensors: [],
            rule: file.rule, isHashed: file.isHashed)
        var indexes: [Int64: Int] = [:]
        let extents = try Row.fetchCursor(
            db.cachedStatement(
                sql: """
                    SELECT shard.digest, shard.bytes, shard.kind, shard.layer, shard.head, shard.id,
                           extent.shard_offset, extent.length
                    FROM extent JOIN shard ON shard.id = extent.shard_id
                    WHERE extent.file_id = ?
                    ORDER BY extent.offset
                    """),
            arguments: [file.id])
        while let row = try extents.next() {
            let shard: Int64 = try row.value("id")
            let index: Int
            if let known = indexes[shard] {
                index = known
            } else {
                index = content.shards.count
                indexes[shard] = index
                content.shards.append(try ShardFacts(row))
            }
            let extent = try Extent(shard: index, shardOffset: row.size("shard_offset"), length: row.size("length"))
            // The bytes are read at this place of a mapping, so it must lie in the shard.
            let bytes = content.shards[index].bytes
            guard extent.length >= 0, 0...max(bytes, 0) ~= extent.shardOffset,
                extent.length <= bytes - extent.shardOffset
            else { throw DatabaseError.damaged("an extent of file \(file.id) does not lie in its shard") }
            content.extents.append(extent)
        }
        content.tensors = try TensorTable.all(of: file.id, db)
        return content
    }

    /// The facts and tensors of a pending file, without shards and extents.
    ///
    /// - Returns: nil if there is no such file, or it is not pending.
    package static func findPending(_ digest: ContentDigest, _ db: Database) throws -> FileContent? {
        guard let file = try FileTable.all(digest, db).first(where: \.isPending) else { return nil }
        return FileContent(
            digest: digest, bytes: file.bytes, format: file.format, shards: [], extents: [],
            tensors: try TensorTable.all(of: file.id, db), rule: file.rule, isPending: true)
    }

    /// Inserts the rows, unless they exist.
    ///
    /// - Returns: the ids of the file's row and of the shards' rows.
    /// - Throws: ``StorageError/missing(path:digest:)`` if a shard is neither present nor evicted,
    ///   ``StorageError/invalid(what:value:reason:)`` if it has another size here.
    package func save(_ db: Database) throws -> (file: Int64, shards: [Int64]) {
        let shardIDs = try shards.map { facts in
            guard let shard = try ShardTable.find(facts.digest, db), shard.state == .present || shard.state == .evicted
            else { throw StorageError.missing(path: facts.digest.hex, digest: facts.digest) }
            try Self.check(facts, storedBytes: shard.bytes)
            return shard.id
        }
        return (try save(shardIDs, db), shardIDs)
    }

    /// Throws if a stored shard has another size than a manifest gives: extents would reach past its end.
    package static func check(_ facts: ShardFacts, storedBytes: Int) throws(StorageError) {
        guard storedBytes == facts.bytes else {
            throw .invalid(
                what: "shard", value: facts.digest.hex,
                reason: "has \(storedBytes) bytes in this store, and \(facts.bytes) bytes in the manifest")
        }
    }

    /// Inserts the rows, unless they exist, with the given ids of the shards' rows.
    ///
    /// An existing row is used if it has the same rule and extents, so the rows of a revision match its manifest, and
    /// the digest in a manifest from elsewhere never stands for the bytes of another revision.
    package func save(_ shardIDs: [Int64], _ db: Database) throws -> Int64 {
        for known in try FileTable.all(digest, format: format, db) {
            if isPending {
                if known.isPending || known.isHashed { return known.id }
            } else if known.isPending {
                guard isHashed else { continue }
                // The file is known from a pull, and another way, such as an import, has provided all its bytes.
                try ExtentTable.remove(of: known.id, db)
                try ExtentTable.insert(extents, of: known.id, shards: shardIDs, db)
                try FileTable.setRule(rule, of: known.id, db)
                try FileTable.markWhole(known.id, db)
                return known.id
            } else if try known.rule == rule && ExtentTable.areExtents(extents, of: known.id, shards: shardIDs, db) {
                if isHashed { try FileTable.markWhole(known.id, db) }
                return known.id
            }
        }
        let id = try FileTable.insert(self, db)
        try ExtentTable.insert(extents, of: id, shards: shardIDs, db)
        try TensorTable.insert(tensors, of: id, db)
        return id
    }
}
