import Crypto
import GRDB
import Glibc

extension Revision {
    /// Hands out a file's bytes, in order, and checks them against the file's digest as they pass.
    ///
    /// - Parameters:
    ///   - path: the file's path in the revision.
    ///   - body: is given each run of bytes; they are mapped, not copied.
    /// - Throws: ``StoreError/damaged(path:digest:expected:found:)`` in the end if what was handed out is not what was
    ///   imported.
    public func read(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        try fetch(FetchSelection(files: [path]))
        let (content, shards) = try store.catalog.read { db in
            guard
                let row = try Row.fetchOne(
                    db,
                    sql: """
                        SELECT file.id, file.digest FROM revision_file JOIN file ON file.id = revision_file.file_id
                        WHERE revision_file.revision_id = ? AND revision_file.path = ?
                        """, arguments: [id, path]),
                let content = try FileContent.find(row[1], db)
            else {
                throw StoreError.notFound(
                    kind: "file", name: "\(name) \(path)", hint: "\"weightstore files \(model)\" lists them.")
            }
            let shards = try Int64.fetchAll(
                db, sql: "SELECT DISTINCT shard_id FROM extent WHERE file_id = ?", arguments: [row[0] as Int64])
            return (content, shards)
        }
        store.accesses.shards(shards)
        try store.read(content, name: "\(name) \(path)", body)
    }

    /// Writes a file's bytes to a descriptor, such as standard output.
    public func write(_ path: String, to descriptor: Int32) throws {
        try read(path) { bytes in try writeAll(bytes, to: descriptor, name: path) }
    }
}

/// Writes all of `bytes` to a descriptor that may be a pipe.
package func writeAll(_ bytes: UnsafeRawBufferPointer, to descriptor: Int32, name: String) throws(StoreError) {
    var done = 0
    while done < bytes.count {
        done += try retrying("write", name) {
            write(descriptor, bytes.baseAddress! + done, min(bytes.count - done, 8 << 20))
        }
    }
}

extension Store {
    func read(_ content: FileContent, name: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        var hasher = SHA256()
        try forEachRun(content) { bytes in
            hasher.update(bufferPointer: bytes)
            try body(bytes)
        }
        let found = Digest(hasher.finalize())
        guard found == content.digest else {
            throw StoreError.damaged(
                path: name, digest: content.digest, expected: "SHA-256 \(content.digest.short)",
                found: "SHA-256 \(found.short)")
        }
    }

    /// Hands out a file's bytes, unchecked.
    func forEachRun(_ content: FileContent, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
        // Packs and paddings come back again and again; large tensors once.
        var mapped: [Int: MappedBlob] = [:]
        var uses = [Int](repeating: 0, count: content.shards.count)
        for extent in content.extents { uses[extent.shard] += 1 }
        for extent in content.extents {
            let facts = content.shards[extent.shard]
            let blob = try mapped[extent.shard] ?? map(facts.digest, bytes: facts.bytes)
            uses[extent.shard] -= 1
            mapped[extent.shard] = uses[extent.shard] > 0 ? blob : nil
            try blob.withUnsafeBytes { bytes in
                var rest = UnsafeRawBufferPointer(
                    rebasing: bytes[extent.shardOffset..<extent.shardOffset + extent.length])
                // In pieces that stay in the processor's cache between the hash and the write.
                while !rest.isEmpty {
                    let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(1 << 20))
                    try body(piece)
                    rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(piece.count))
                }
            }
        }
    }

    /// All bytes of a small file.
    func bytes(of content: FileContent) throws -> [UInt8] {
        var bytes: [UInt8] = []
        try read(content, name: content.digest.short) { bytes.append(contentsOf: $0) }
        return bytes
    }
}
