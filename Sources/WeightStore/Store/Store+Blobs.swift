import Crypto
import Files
import GRDB
import Glibc
import Storage
import Support

extension Store {
    /// A whole shard of weights. A KV block belongs to a tenant and is never returned by its digest.
    ///
    /// - Returns: nil if the shard is not present.
    package func shard(_ digest: ContentDigest) throws -> StoredBytes? {
        let shard = try catalog.read { db in try ShardTable.find(digest, db) }
        guard let shard, shard.state == .present, shard.kind != .kv else { return nil }
        accesses.shards([shard.id])
        return try whole(digest, .shard, bytes: shard.bytes)
    }

    /// The manifest of a revision.
    ///
    /// - Returns: nil if no revision has that digest.
    package func manifest(_ digest: ContentDigest) throws -> StoredBytes? {
        let isKnown = try catalog.read { db in try RevisionTable.hasManifest(digest, db) }
        guard isKnown, let status = try FileSystem.status(blobs.path(digest, .manifest)) else { return nil }
        return try whole(digest, .manifest, bytes: status.bytes)
    }

    private func whole(_ digest: ContentDigest, _ kind: BlobDirectory.Kind, bytes: Int) throws -> StoredBytes {
        let run = StoredBytes.Run(
            offset: 0, length: bytes, blobOffset: 0, blobBytes: bytes, digest: digest, path: blobs.path(digest, kind))
        return try StoredBytes(0..<bytes, runs: [run], hold: nil)
    }
}

extension Store {
    func read(
        _ content: FileContent, name: String, _ work: Work, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var hasher = SHA256()
        try forEachRun(content, work) { bytes in
            hasher.update(bufferPointer: bytes)
            try body(bytes)
        }
        try StorageError.check(ContentDigest(hasher.finalize()), is: content.digest, of: name)
    }

    /// Passes a file's bytes to `body`, in order, without checking them.
    func forEachRun(_ content: FileContent, _ work: Work, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        // A pack has many extents and stays mapped until the last; a large tensor has one.
        var mapped: [Int: MappedBlob] = [:]
        var uses = [Int](repeating: 0, count: content.shards.count)
        for extent in content.extents { uses[extent.shard] += 1 }
        for extent in content.extents {
            let facts = content.shards[extent.shard]
            let blob = try mapped[extent.shard] ?? map(facts.digest, bytes: facts.bytes, work)
            uses[extent.shard] -= 1
            mapped[extent.shard] = uses[extent.shard] > 0 ? blob : nil
            try blob.withUnsafeBytes { bytes in
                var rest = UnsafeRawBufferPointer(
                    rebasing: bytes[extent.shardOffset..<extent.shardOffset + extent.length])
                // In pieces that stay in the CPU cache between hashing and writing.
                while !rest.isEmpty {
                    let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 20))
                    try body(piece)
                    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
                }
            }
        }
    }

    /// All bytes of a file, which must be small.
    func bytes(of content: FileContent) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try read(content, name: content.digest.short, misses) { bytes.append(contentsOf: $0) }
        return bytes
    }
}

extension Store {
    /// Maps a shard, and fetches it if it is not present. If there is no room for it, it is mapped without being stored.
    func map(_ digest: ContentDigest, bytes: Int, state: ShardState = .present, _ work: Work) throws -> MappedBlob {
        let path = blobs.path(digest)
        do {
            guard state == .present else { throw StorageError.missing(path: path, digest: digest) }
            return try MappedBlob(path: path, digest: digest, bytes: bytes)
        } catch StorageError.missing {
            do {
                try refetch(digest, work: work)
            } catch  where Self.isNoRoom(error) {
                if let memory = try passThrough(digest, because: error, work) {
                    return try MappedBlob(path: memory.path, digest: digest, bytes: bytes)
                }
            }
            return try MappedBlob(path: path, digest: digest, bytes: bytes)
        }
    }
}
