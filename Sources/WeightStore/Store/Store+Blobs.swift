import Crypto
import Files
import GRDB
import Glibc
import ModelFormats
import Storage
import Support

extension Store {
    /// A whole shard of weights. A KV block belongs to a tenant and is never returned by its digest.
    ///
    /// - Returns: nil if the shard is not present.
    package func shard(_ digest: ContentDigest) throws -> StoredBytes? {
        let shard = try catalog.read { db in try ShardTable.find(digest, db) }
        guard let shard, shard.state == .present, shard.kind != .kv else { return nil }
        do {
            // A blob that is missing or cut short is noticed before the first byte is sent.
            try FileDescriptor.requireBlob(blobs.path(digest), digest: digest, bytes: shard.bytes)
        } catch let error as StorageError where error.lostBlob == digest {
            try setAsideIfDamaged(digest, after: error, missWork)
            return nil
        }
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

    /// The names of the models of which a revision holds a shard.
    package func models(holding shard: ContentDigest) throws -> [String] {
        try catalog.read { db in try ModelTable.names(holding: shard, db) }
    }

    /// The names of the models of which a revision has this manifest.
    package func models(withManifest digest: ContentDigest) throws -> [String] {
        try catalog.read { db in try ModelTable.names(withManifest: digest, db) }
    }

    private func whole(_ digest: ContentDigest, _ kind: BlobDirectory.Kind, bytes: Int) throws -> StoredBytes {
        let run = StoredBytes.Run(
            offset: 0, length: bytes, blobOffset: 0, blobBytes: bytes, digest: digest, path: blobs.path(digest, kind))
        return try StoredBytes(0..<bytes, runs: [run], hold: nil) { [missWork] error in
            // Its reader has other places to fetch the shard from.
            if kind == .shard { try self.setAsideIfDamaged(digest, after: error, missWork) }
            throw error
        }
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

    /// Passes a file's bytes to `body`, in order, without checking them. A blob that is missing or damaged is fetched again.
    ///
    /// The blobs are read, not mapped: an unreadable page is an error and not a SIGBUS.
    ///
    /// - Parameter recovers: whether a missing or damaged blob is fetched again; otherwise it is an error.
    func forEachRun(
        _ content: FileContent, recovers: Bool = true, _ work: Work, _ body: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        let stored = try storedBytes(of: content, recovers: recovers, work)
        let end = stored.range.upperBound
        // In pieces that stay in the CPU cache between reading, hashing and writing.
        let buffer = Buffer(bytes: 1 << 20)
        for start in stride(from: 0, to: end, by: buffer.capacity) {
            try work.check()
            let count = try stored.read(at: start, into: buffer.writableBytes(min(buffer.capacity, end - start)))
            try body(buffer.bytes(count))
        }
    }

    /// A file's bytes, unchecked. A blob that is missing or damaged is fetched again.
    private func storedBytes(of content: FileContent, recovers: Bool = true, _ work: Work) throws -> StoredBytes {
        var offset = 0
        let runs = content.extents.map { extent in
            let facts = content.shards[extent.shard]
            defer { offset = offset.adding(saturating: extent.length) }
            return StoredBytes.Run(
                offset: offset, length: extent.length, blobOffset: extent.shardOffset, blobBytes: facts.bytes,
                digest: facts.digest, path: blobs.path(facts.digest))
        }
        var recovery: StoredBytes.Recovery?
        if recovers {
            recovery = { error in
                if case .missing(_, let digest) = error { try self.fetch(digest, andNextOf: content, work) }
                return try self.recover(from: error, work)
            }
        }
        return try StoredBytes(0..<offset, runs: runs, hold: nil, recovery: recovery)
    }

    /// Fetches an absent shard of a file that is read in order, and the absent ones behind it, as a group. Shards that
    /// cannot be fetched stay absent.
    private func fetch(_ digest: ContentDigest, andNextOf content: FileContent, _ work: Work) throws {
        guard let first = content.shards.firstIndex(where: { $0.digest == digest }) else { return }
        var batch = ShardBatch()
        let group = content.shards[first...].prefix { batch.add(bytes: $0.bytes) }
        _ = try GroupFetch(store: self, onUse: true, work: work).run(group.map(\.digest))
    }

    /// Reads the header of a stored file in the format that its bytes have.
    ///
    /// - Throws: as `FileLayout.read`.
    func layout(of content: FileContent, path: String, rules: ReadingRules, _ work: Work) throws -> FileLayout {
        let bytes = try storedBytes(of: content, work)
        return try FileLayout.read(
            StoredSource(name: path, count: bytes.range.upperBound, bytes: bytes), path: path, rules: rules)
    }

    /// All bytes of a file, which must be small.
    func bytes(of content: FileContent) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try read(content, name: content.digest.short, missWork) { bytes.append(contentsOf: $0) }
        return bytes
    }
}

/// A stored file as a source for the format readers.
private struct StoredSource: ByteSource {
    let name: String
    let count: Int
    let bytes: StoredBytes

    func read(at offset: Int, into buffer: UnsafeMutableRawBufferPointer) throws {
        try check(at: offset, count: buffer.count)
        let count = try bytes.read(at: offset, into: buffer)
        assert(count == buffer.count)
    }
}

extension Store {
    /// Maps a shard, and fetches it if it is not present. If there is no room for it, it is mapped without being stored.
    func map(_ digest: ContentDigest, bytes: Int, state: ShardState = .present, _ work: Work) throws -> MappedBlob {
        let path = blobs.path(digest)
        do {
            guard state == .present else { throw StorageError.missing(path: path, digest: digest) }
            return try MappedBlob(path: path, digest: digest, bytes: bytes)
        } catch let error as StorageError where error.lostBlob == digest {
            let memory = try recover(from: error, work)
            return try MappedBlob(path: memory?.path ?? path, digest: digest, bytes: bytes)
        }
    }

    /// Opens the blob of a shard for reading, and fetches the shard if it is not present.
    ///
    /// - Returns: a descriptor that the caller closes. If there is no room for the shard, its bytes are in memory until
    ///   then.
    func open(_ digest: ContentDigest, bytes: Int, state: ShardState, _ work: Work) throws -> Int32 {
        let path = blobs.path(digest)
        do {
            guard state == .present else { throw StorageError.missing(path: path, digest: digest) }
            return try FileDescriptor.blob(path, digest: digest, bytes: bytes).duplicate()
        } catch let error as StorageError where error.lostBlob == digest {
            let memory = try recover(from: error, work)
            return try withExtendedLifetime(memory) {
                try FileDescriptor.blob(memory?.path ?? path, digest: digest, bytes: bytes).duplicate()
            }
        }
    }
}
