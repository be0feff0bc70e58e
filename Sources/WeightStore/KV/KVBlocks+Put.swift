import Crypto
import Dispatch
import Files
import GRDB
import Storage
import Support
import Synchronization

/// The result of a put.
public struct KVPutSummary: Sendable, Codable {
    /// The number of new blocks stored.
    public internal(set) var stored = 0
    /// Bytes of their blobs.
    public internal(set) var bytes = 0
    /// The number of blocks that were stored before.
    public internal(set) var known = 0
    /// The number of blocks not stored.
    public internal(set) var refused = 0
    /// Why the first of them was not stored; nil if all are stored.
    public internal(set) var refusal: Refusal?

    /// Why a block is not stored.
    public enum Refusal: String, Sendable, Codable {
        /// The KV quota has no room for it.
        case quota
        /// It would leave less than 1/20 of the disk free, at most 10 GB.
        case disk
        /// The block before it in the chain is not stored, the revision was removed meanwhile, or its bytes are those of
        /// a shard of a model.
        case chain

        package var reason: String {
            switch self {
            case .quota: "the KV quota is full"
            case .disk: "5% of the disk, at most 10 GB, must stay free"
            case .chain: "the block before them is not stored, the revision was removed, or their bytes are a model's"
            }
        }
    }

    mutating func refuse(_ blocks: Int, _ reason: Refusal) {
        guard blocks > 0 else { return }
        refused += blocks
        refusal = refusal ?? reason
    }
}

extension KVBlocks {
    /// Stores blocks that are in memory. See ``put(_:blocks:seconds:bytes:)``.
    ///
    /// - Parameters:
    ///   - chain: the chain of the prompt, from ``KVBlocks/chain(_:)``.
    ///   - first: the index in the chain of the first of `blocks`.
    ///   - blocks: the bytes of the blocks.
    ///   - seconds: the time to compute one of them.
    @discardableResult
    public func put(_ chain: KVChain, from first: Int = 0, _ blocks: [[UInt8]], seconds: Double? = nil) throws
        -> KVPutSummary
    {
        try put(chain, blocks: first..<first + blocks.count, seconds: seconds) { block, append in
            try blocks[block - first].withUnsafeBytes(append)
        }
    }

    /// Stores blocks of a chain. The parent of each block must be stored already, or be among them.
    ///
    /// Blocks that do not fit the quota, or that would leave less than 1/20 of the disk free (at most 10 GB), are not
    /// stored; the last blocks of the chain are refused first. Blocks that are stored already are left unchanged. Many
    /// blocks are stored in several transactions.
    ///
    /// **Syncs.** KV blocks may be lost, but must never be wrong. A block's bytes are synced (`fdatasync`) before its
    /// row is committed: otherwise, after a power failure, a later commit could have made the row durable while the
    /// file has the right size but wrong bytes. Directories and the catalog's log are not synced: a row without a file
    /// is a lost block, which is detected when it is opened, and a file without a row is garbage that `gc` removes.
    ///
    /// - Parameters:
    ///   - chain: the chain of the prompt, from ``KVBlocks/chain(_:)``.
    ///   - blocks: the indices of the blocks in the chain.
    ///   - seconds: the time to compute one of them, for policies that weigh it.
    ///   - body: passes a block's bytes to `append`, exactly once. Called on several threads, and only for blocks that
    ///     the store lacks.
    /// - Throws: ``StorageError/invalid(what:value:reason:)`` for a block without bytes,
    ///   ``FileError/diskFull(path:lacksInodes:)``, ``StorageError/foreignBlobs(path:found:)`` if the blobs are not
    ///   mounted.
    @discardableResult
    public func put(
        _ chain: KVChain, blocks: Range<Int>, seconds: Double? = nil,
        bytes body: @Sendable (_ block: Int, _ append: (UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws -> KVPutSummary {
        precondition(chain.space == space.digest, "the chain belongs to other KV blocks")
        precondition(0 <= blocks.lowerBound && blocks.upperBound <= chain.blocks, "the range exceeds the chain")
        var summary = KVPutSummary()
        var rest = blocks
        while !rest.isEmpty, summary.refused == 0 {
            let batch = rest.prefix(Self.batch)
            rest = batch.upperBound..<rest.upperBound
            try put(chain.keys, batch, seconds, body, &summary)
        }
        summary.refused += rest.count
        return summary
    }

    /// Blocks per transaction: enough to amortize its cost, few enough to hold the write lock only briefly.
    private static var batch: Int { 64 }

    private func put(
        _ keys: [ContentDigest], _ blocks: Range<Int>, _ seconds: Double?,
        _ body: @Sendable (Int, (UnsafeRawBufferPointer) throws -> Void) throws -> Void, _ summary: inout KVPutSummary
    ) throws {
        let here = try store.catalog.read { db in try KVTable.count(of: keys[..<blocks.upperBound], db) }
        // The first block's parent is not stored, so none can be.
        guard here >= blocks.lowerBound else { return summary.refuse(blocks.count, .chain) }
        summary.known += here - blocks.lowerBound
        let missing = here..<blocks.upperBound
        if missing.isEmpty { return }
        guard try store.spareDiskForKV() > 0 else { return summary.refuse(missing.count, .disk) }
        try store.reserve.require()
        let staged = try stage(keys, missing, body)
        let sizes = staged.map(\.shard.bytes)
        let fitting = try store.fitDisk(sizes)
        if fitting == 0 { return summary.refuse(staged.count, .disk) }
        let parent = missing.lowerBound > 0 ? keys[missing.lowerBound - 1] : nil
        let room = try store.makeRoomForKV(sizes[..<fitting], behind: parent)
        let stored = try install(staged[..<room], seconds)
        summary.stored += stored.blocks
        summary.bytes += stored.bytes
        summary.known += stored.known
        summary.refuse(room - stored.blocks - stored.known, .chain)
        summary.refuse(fitting - room, .quota)
        summary.refuse(staged.count - fitting, .disk)
    }

    private struct Staged: Sendable {
        let file: StagedFile
        let key: ContentDigest
        /// nil for the first block.
        let parent: ContentDigest?
        let shard: KVShard
    }

    /// Writes and hashes blobs concurrently, and then syncs them. The syncs begin when writeback of all blobs has
    /// started: the first one waits for the disk and for the file system's journal, and the others return quickly.
    private func stage(
        _ keys: [ContentDigest], _ blocks: Range<Int>,
        _ body: @Sendable (Int, (UnsafeRawBufferPointer) throws -> Void) throws -> Void
    ) throws -> [Staged] {
        let results = Mutex<[Int: Staged]>([:])
        let failure = FirstFailure()
        DispatchQueue.concurrentPerform(iterations: blocks.count) { index in
            guard failure.first == nil else { return }
            let block = blocks.lowerBound + index
            do {
                let file = try StagedFile(stagingPath())
                var written: KVShard?
                try body(block) { bytes in
                    precondition(written == nil, "`append` was called twice for one block")
                    written = try write(bytes, key: keys[block], depth: block, to: file)
                }
                guard let shard = written else {
                    throw StorageError.invalid(
                        what: "KV block", value: "block \(block)", reason: "must have at least 1 byte")
                }
                let staged = Staged(
                    file: file, key: keys[block], parent: block > 0 ? keys[block - 1] : nil, shard: shard)
                results.withLock { $0[block] = staged }
            } catch {
                failure.record(error)
            }
        }
        if let error = failure.first { throw error }
        let all = results.withLock { $0 }
        let staged = blocks.compactMap { all[$0] }
        for block in staged { try block.file.finish() }
        return staged
    }

    /// Writes the blob: the block's bytes, followed by its key.
    private func write(_ bytes: UnsafeRawBufferPointer, key: ContentDigest, depth: Int, to file: StagedFile) throws
        -> KVShard
    {
        guard !bytes.isEmpty else {
            throw StorageError.invalid(
                what: "KV block", value: "block \(depth)", reason: "must have at least 1 byte")
        }
        let trailer = key.bytes
        try file.write(bytes, at: 0, cached: true)
        try trailer.withUnsafeBytes { try file.write($0, at: bytes.count, cached: true) }
        file.startWriteback()
        var hasher = SHA256()
        hasher.update(bufferPointer: bytes)
        trailer.withUnsafeBytes { hasher.update(bufferPointer: $0) }
        return KVShard(digest: ContentDigest(hasher.finalize()), bytes: bytes.count + trailer.count, depth: depth)
    }

    private func install(_ staged: ArraySlice<Staged>, _ seconds: Double?) throws -> (
        blocks: Int, bytes: Int, known: Int
    ) {
        try store.catalog.write(durable: false) { db in
            try StoreIdentity.requireIfMarked(store.blobs, db)
            var stored = (blocks: 0, bytes: 0, known: 0)
            var installed: [(file: StagedFile, name: BlobDirectory.Name)] = []
            guard let space = try KVTable.save(space, revision: revision.id, db) else { return stored }
            for block in staged {
                // It may have been stored meanwhile.
                if try KVTable.id(of: block.key, db) != nil {
                    stored.known += 1
                    continue
                }
                let parent = try block.parent.flatMap { try KVTable.id(of: $0, db) }
                // Its parent was dropped meanwhile.
                if block.parent != nil && parent == nil { break }
                guard
                    try KVTable.insert(
                        block.shard, key: block.key, parent: parent, space: space, seconds: seconds, db) != nil
                else { break }
                installed.append((block.file, .init(digest: block.shard.digest, kind: .shard)))
                stored.blocks += 1
                stored.bytes += block.shard.bytes
            }
            try store.blobs.install(installed, durable: false)
            return stored
        }
    }
}
