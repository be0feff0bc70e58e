import Files
import GRDB
import Glibc
import Storage
import Support

/// Removes what removed revisions leave behind: the rows of files that no revision links, shards that nothing references
/// any more, and KV blocks of spaces without a revision. Removals, collections and evictions use it.
///
/// The transaction that removes a revision only unlinks its files, however many tensors they have. All other work is done
/// here, in slices: each is one transaction of about 15 milliseconds, and other processes write between them.
/// `leases/.lock` is not held, because no revision holds the files any more.
///
/// Whatever ends it, a crash included, nothing is lost and nothing leaks: files that are not finished are marked in the
/// catalog (`file.unlinked`), and the next collection or eviction continues with them. A blob whose row was removed and
/// which is still there is deleted by the next collection.
final class RemovalSlices {
    /// What was removed.
    struct Totals {
        /// Shards, KV blocks included.
        var shards = 0
        /// Bytes of them that were on the disk.
        var bytes = 0
        var kvBlocks = 0
        /// Blobs that were kept, because they may belong to what a rebuild has lost.
        var kept = 0
    }

    private(set) var totals = Totals()
    private let catalog: Catalog
    private let leases: LeaseDirectory
    private let authority: DeletionAuthority?
    private let spare: SpareReserve
    private let work: Work

    /// The time after which a slice ends.
    private static let duration = Duration.milliseconds(15)
    /// The pause between two slices, in microseconds. Without it, this process would have the write lock again before
    /// one that waits for it: `LockWait` tries a lock once a millisecond.
    private static let pause: UInt32 = 3_000
    /// The most shards that one slice removes. Each changes about ten pages of the catalog.
    private static let mostShards = 256
    /// The same with little free space, so that the log of a slice is small beside the reserve.
    private static let fewShards = 16
    /// Less free space than this, in bytes, is little.
    private static let littleSpace = 64 << 20
    /// Rows of a table that are read and removed at once.
    private static let page = 1024
    /// The most shards that these may lie in: a shard takes longer than a row.
    private static let pageShards = 64

    /// - Parameters:
    ///   - authority: deletes the blobs; nil to leave them to the next collection.
    ///   - spare: the reserve, which is released if the disk is full.
    ///   - work: cancelling it ends the work between two slices.
    init(
        catalog: Catalog, leases: LeaseDirectory, authority: DeletionAuthority?, spare: SpareReserve, work: Work
    ) {
        self.catalog = catalog
        self.leases = leases
        self.authority = authority
        self.spare = spare
        self.work = work
    }

    /// Drops the claims of dead processes, which keep shards. Reads the leases under the write lock, because every process
    /// that has committed a claim holds its lease by then.
    func dropDeadClaims() throws {
        try repeating(0) { slice, _, db in
            let living = try leases.holders().map(\.lease)
            return try ClaimTable.dropDead(living: living, limit: Self.page, db) == Self.page
        }
    }

    /// Visits files that a removed revision linked. Of those that another revision links only the shards change: they may
    /// have become evictable.
    func visit(_ files: [Int64]) throws {
        try repeating(Visit(rest: files[...])) { slice, visit, db in
            guard let file = visit.rest.first else { return false }
            if try step(file, &slice, &visit, db) { visit = Visit(rest: visit.rest.dropFirst()) }
            return true
        }
    }

    /// How far a visit of files has come.
    private struct Visit {
        /// The files that are left, the current one first.
        var rest: ArraySlice<Int64>
        /// The last extent of the current file whose shard was updated.
        var offset = -1
        /// The removed links of the current file before its first extent: a link that is removed later is a reason for
        /// another visit.
        var unlinked: Int?
    }

    /// A step of the visit of a file.
    ///
    /// - Returns: whether the visit is over.
    private func step(_ file: Int64, _ slice: inout Slice, _ visit: inout Visit, _ db: Database) throws -> Bool {
        switch try FileTable.visit(file, db) {
        case nil: return true
        case .remove: return try removeRows(of: file, &slice, db)
        case .linked(let unlinked):
            let before = visit.unlinked ?? unlinked
            visit.unlinked = before
            let (extents, isLast) = try Self.page(of: file, after: visit.offset, db)
            for shard in try Self.shards(endingIn: extents, of: file, db) {
                try ShardTable.updateEvictability(of: shard, db)
            }
            visit.offset = extents.last?.offset ?? visit.offset
            if !isLast { return false }
            try FileTable.finishVisit(of: file, unlinked: before, db)
            return true
        }
    }

    /// Removes shards that no file, no KV block and no claim needs.
    func remove(shards: [Int64]) throws {
        try repeating(shards[...]) { slice, rest, db in
            guard let shard = rest.popFirst() else { return false }
            try removeIfUnused(shard, &slice, db)
            return true
        }
    }

    /// Marks shards as orphans that no file and no KV block references.
    func orphan(_ shards: [Int64]) throws {
        try repeating(shards[...]) { _, rest, db in
            guard let shard = rest.popFirst() else { return false }
            if try ShardTable.isUnreferenced(shard, db) { try ShardTable.markOrphaned(shard, db) }
            return true
        }
    }

    /// Drops the KV blocks of spaces that no revision has.
    func dropAbandonedBlocks() throws {
        try repeating(0) { slice, _, db in
            guard let dropped = try KVTable.dropAbandoned(limit: 16, db) else { return false }
            slice.kv.blobs += dropped.blobs
            slice.kv.bytes.add(saturating: dropped.bytes)
            return true
        }
    }

    /// Forgets source files that were last imported before `moment`, in seconds since 1970.
    func forgetSources(before moment: Int) throws {
        try repeating(0) { _, _, db in try SourceTable.forget(before: moment, limit: Self.page, db) > 0 }
    }

    // MARK: One slice

    /// The rows that one slice has removed, and its limits.
    private struct Slice {
        var shards: [ShardTable.Entry] = []
        var kv = KVTable.Dropped()
        let end = ContinuousClock.now + RemovalSlices.duration
        let mostShards: Int

        var isOver: Bool {
            ContinuousClock.now >= end || shards.count + kv.blocks >= mostShards
        }
    }

    /// Repeats a step until it returns false, in transactions of bounded length, and deletes the blobs after each.
    ///
    /// - Parameters:
    ///   - start: the state of the first step.
    ///   - step: changes some rows, and the state. A transaction that is rolled back does not change the state.
    private func repeating<State>(
        _ start: State, _ step: (inout Slice, inout State, Database) throws -> Bool
    ) throws {
        var state = start
        var isDone = false
        while !isDone {
            try work.check()
            let (slice, next) = try spare.retrying {
                try catalog.write(work: work) { db in
                    try authority?.require(db)
                    let free = try FileSystem.freeBytes(catalog.path)
                    var slice = Slice(mostShards: free < Self.littleSpace ? Self.fewShards : Self.mostShards)
                    var next = state
                    repeat { isDone = try !step(&slice, &next, db) } while !isDone && !slice.isOver
                    return (slice, next)
                }
            }
            state = next
            try finish(slice)
            if !isDone { usleep(Self.pause) }
        }
    }

    private func finish(_ slice: Slice) throws {
        totals.shards += slice.shards.count + slice.kv.blocks
        totals.kvBlocks += slice.kv.blocks
        totals.bytes.add(saturating: slice.kv.bytes)
        for shard in slice.shards where shard.state == .present { totals.bytes.add(saturating: shard.bytes) }
        guard let authority else { return }
        totals.kept += try authority.delete(slice.shards.map { .init(digest: $0.digest, kind: .shard) }, .removed).kept
        totals.kept += try authority.delete(slice.kv.blobs, .dropped).kept
    }

    /// Removes rows of a file that no revision links, and the shards that lose their last reference.
    ///
    /// - Returns: whether the file is removed.
    private func removeRows(of file: Int64, _ slice: inout Slice, _ db: Database) throws -> Bool {
        let (extents, isLast) = try Self.page(of: file, after: -1, db)
        if let last = extents.last {
            try ExtentTable.remove(of: file, through: last.offset, db)
            for shard in try Self.shards(endingIn: extents, of: file, db) { try removeIfUnused(shard, &slice, db) }
        }
        if !isLast { return false }
        if try TensorTable.remove(of: file, limit: Self.page, db) == Self.page { return false }
        try FileTable.remove(file, db)
        return true
    }

    /// The next extents of a file, and whether none follow.
    private static func page(
        of file: Int64, after offset: Int, _ db: Database
    ) throws -> (extents: [ExtentTable.Entry], isLast: Bool) {
        var extents = try ExtentTable.page(of: file, after: offset, limit: page, db)
        let isFull = extents.count == page
        var shards: Set<Int64> = []
        let end = extents.firstIndex { shards.insert($0.shard).inserted && shards.count > pageShards }
        if let end { extents.removeLast(extents.count - end) }
        return (extents, !isFull && end == nil)
    }

    /// The shards of which no extent follows in the file, so that a pack of many tensors is looked at once.
    private static func shards(
        endingIn extents: [ExtentTable.Entry], of file: Int64, _ db: Database
    ) throws -> [Int64] {
        guard let last = extents.last else { return [] }
        return try Set(extents.map(\.shard)).filter {
            try !ExtentTable.isReferenced($0, by: file, after: last.offset, db)
        }
    }

    /// Removes a shard's row if no file, no KV block and no import of a live process references it.
    private func removeIfUnused(_ shard: Int64, _ slice: inout Slice, _ db: Database) throws {
        if try ExtentTable.isReferenced(shard, db) || KVTable.isBlock(shard, db) {
            return try ShardTable.updateEvictability(of: shard, db)
        }
        if try ClaimTable.isClaimed(shard, db) { return try ShardTable.markOrphaned(shard, db) }
        if let removed = try ShardTable.remove(shard, db) { slice.shards.append(removed) }
    }
}
