import Files
import GRDB
import Glibc
import Storage
import Support

extension Revision {
    /// Copies parts of a tensor into a buffer, one behind the other, and reads only these bytes.
    ///
    /// Bytes that are not on disk are read from an origin and not stored: a shard has a digest as a whole only, so a part
    /// cannot be checked. They are stored and checked if the parts are the whole tensor. Blocks.
    ///
    ///     // Rows 100 to 199 of a matrix of 4096 BF16 columns.
    ///     try revision.read(TensorParts(819_200..<1_638_400), ofTensor: "lm_head.weight", into: buffer)
    ///
    /// - Parameters:
    ///   - parts: the parts; they must lie in the tensor.
    ///   - name: the name of the tensor.
    ///   - file: the path of its file; nil means the first file, by path, that has a tensor of that name.
    ///   - buffer: must have room for ``TensorParts/totalBytes``.
    ///   - work: cancelling it ends a fetch with `CancellationError`.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` for parts that do not lie in the tensor, or do not fit into
    ///   the buffer; ``StorageError/notFound(kind:name:detail:)``; ``StorageError/missing(path:digest:)``,
    ///   ``StorageError/damaged(path:digest:expected:found:)``, ``FetchError``.
    public func read(
        _ parts: TensorParts, ofTensor name: String, in file: String? = nil,
        into buffer: UnsafeMutableRawBufferPointer, work: Work? = nil
    ) throws {
        let place = try place(ofTensor: name, in: file)
        let entry = place.entry
        try parts.check(entry)
        guard parts.totalBytes <= buffer.count else {
            throw StorageError.invalid(
                what: "buffer for parts of tensor", value: name,
                reason: "\(buffer.count) bytes: must have at least \(parts.totalBytes)")
        }
        if parts.totalBytes == 0 { return }
        let work = missWork(within: work)
        let isPart = parts.totalBytes < entry.bytes
        if place.isPending {
            if isPart, try passThrough(parts, entry, into: buffer, work) { return }
            try fetch(FetchSelection([entry]), work)
            return try readStored(parts, try self.place(ofTensor: name, in: entry.file), into: buffer)
        }
        do {
            try readStored(parts, place, into: buffer)
        } catch let error as StorageError where error.lostBlob != nil && error.lostBlob == entry.shard {
            if isPart, case .missing(_, let digest) = error,
                try store.passThrough(parts, at: entry.shardOffset, of: digest, into: buffer, work)
            {
                return
            }
            let memory = try store.recover(from: error, work)
            try readStored(parts, place, at: memory?.path, into: buffer)
            withExtendedLifetime(memory) {}
        }
    }

    /// Whether the bytes of a tensor are on disk, so that a lease fetches nothing.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)``.
    package func isStored(tensor name: String, in file: String?) throws -> Bool {
        try view(in: .ram).isStored(tensor: name, in: file)
    }

    private func place(ofTensor name: String, in file: String?) throws -> TensorPlacement {
        let place = try places(named: name).first { place in
            file.map { ByteText($0) == ByteText(place.entry.file) } ?? true
        }
        guard let place else { throw StorageError.notFound(kind: "tensor", name: "\(self.name) \(name)") }
        return place
    }

    /// - Parameter path: the file with the shard's bytes; nil means its blob.
    private func readStored(
        _ parts: TensorParts, _ place: TensorPlacement, at path: String? = nil,
        into buffer: UnsafeMutableRawBufferPointer
    ) throws {
        guard let digest = place.entry.shard else {
            throw StorageError.notFound(
                kind: "tensor", name: "\(name) \(place.entry.name)", detail: "Its bytes were never fetched.")
        }
        let path = path ?? store.blobs.path(digest)
        let file = try FileDescriptor.blob(path, digest: digest, bytes: place.shardBytes)
        do {
            try parts.read(into: buffer, leastBytes: TensorParts.leastStoredBytes) { offset, piece in
                let count = try file.read(at: place.entry.shardOffset + offset, into: piece)
                if count < piece.count { throw FileError.system(operation: "read", path: path, code: EIO) }
            }
        } catch let error as FileError {
            throw StorageError.unreadable(error, path, digest, bytes: place.shardBytes)
        }
        if let shard = place.shard { store.accesses.shards([shard]) }
    }

    /// Reads parts of a tensor that was never fetched from an origin of the model, into the buffer only.
    ///
    /// - Returns: false if no origin gives parts of files.
    private func passThrough(
        _ parts: TensorParts, _ entry: TensorEntry, into buffer: UnsafeMutableRawBufferPointer, _ work: Work
    ) throws -> Bool {
        let found = try store.catalog.read { db in try RemoteFile.find(entry, of: id, db) }
        guard let (remote, offset) = found else { return false }
        do {
            try fromNearestModelOrigin { origin in
                try parts.read(into: buffer, leastBytes: TensorParts.leastRemoteBytes) { position, piece in
                    try work.check()
                    try origin.read(remote, at: offset + position, into: piece, work)
                }
            }
            return true
        } catch FetchError.noOrigin {
            return false
        }
    }
}

extension RemoteFile {
    /// The file of a tensor, as the revision's origins name it, and the tensor's position in the file; nil if the catalog
    /// does not know it.
    fileprivate static func find(_ entry: TensorEntry, of revision: Int64, _ db: Database) throws -> (Self, Int)? {
        let row = try Row.fetchOne(
            try db.cachedStatement(
                sql: """
                    SELECT model.name AS model, revision.commit_id, revision_file.path, file.bytes, file.digest,
                           tensor.offset
                    FROM revision_file
                    JOIN file ON file.id = revision_file.file_id
                    JOIN revision ON revision.id = revision_file.revision_id
                    JOIN model ON model.id = revision.model_id
                    JOIN tensor ON tensor.file_id = file.id AND tensor.name = :name
                    WHERE revision_file.revision_id = :revision AND revision_file.path = :path
                    """),
            arguments: ["revision": revision, "path": entry.file, "name": entry.name])
        return try row.map { row in
            let file = try RemoteFile(
                model: row.value("model"), commit: row.value("commit_id"), path: row.path("path"),
                bytes: row.size("bytes"), digest: row.value("digest"), gitObject: nil)
            return (file, try row.size("offset"))
        }
    }
}
