import Crypto
import Files
import GRDB
import Glibc
import Storage
import Support

extension Revision {
    /// Passes a file's bytes to `body`, in order, and checks them against the file's digest.
    ///
    /// - Parameters:
    ///   - path: the file's path in the revision.
    ///   - body: receives runs of bytes, mapped and not copied.
    /// - Throws: ``StorageError/damaged(path:digest:expected:found:)`` after the last byte if the digest differs,
    ///   ``StorageError/notFound(kind:name:detail:)``, ``StoreError``, ``FetchError``, and errors of `body`.
    public func read(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        try read(path, store.missWork, body)
    }

    func read(_ path: String, _ work: Work, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        do {
            try fetch(FetchSelection(files: [path]), work)
        } catch  where Store.isOutOfSpace(error) {
            return try readInParts(path, work, body)
        }
        let (content, shards) = try store.catalog.read { db in
            guard
                let row = try Row.fetchOne(
                    db,
                    sql: """
                        SELECT file.id FROM revision_file JOIN file ON file.id = revision_file.file_id
                        WHERE revision_file.revision_id = ? AND revision_file.path = ?
                        """, arguments: [id, path]),
                let content = try FileContent.find(row.value("id") as Int64, db)
            else {
                throw StorageError.notFound(
                    kind: "file", name: "\(name) \(path)")
            }
            return try (content, ExtentTable.shards(of: row.value("id"), db))
        }
        store.accesses.shards(shards)
        try store.read(content, name: "\(name) \(path)", work, body)
    }

    /// Reads a file that cannot be stored as a whole: in parts, each from the store or from an origin.
    private func readInParts(_ path: String, _ work: Work, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        guard let file = try entry(path) else {
            throw StorageError.notFound(kind: "file", name: "\(name) \(path)")
        }
        var hasher = SHA256()
        let buffer = Buffer(bytes: 1 << 20)
        var part = 0..<0
        while part.upperBound < file.bytes {
            part = part.upperBound..<min(part.upperBound + (32 << 20), file.bytes)
            let stored = try bytes(of: file, in: part, continuing: part.lowerBound > 0)
            for offset in stride(from: part.lowerBound, to: part.upperBound, by: buffer.capacity) {
                try work.check()
                let count = try stored.read(
                    at: offset, into: buffer.writableBytes(min(buffer.capacity, part.upperBound - offset)))
                hasher.update(bufferPointer: buffer.bytes(count))
                try body(buffer.bytes(count))
            }
        }
        try StorageError.check(ContentDigest(hasher.finalize()), is: file.digest, of: "\(name) \(path)")
    }

    /// Writes a file's bytes to a descriptor, such as standard output. Throws as ``read(_:_:)``.
    public func write(_ path: String, to descriptor: Int32) throws {
        try read(path) { bytes in try writeAll(bytes, to: descriptor, name: path) }
    }
}
