import Files
import GRDB
import Policies
import Storage
import Support
import Tiers

extension Store {
    /// Drops KV blocks until `wanted` bytes are freed: first blocks of removed revisions, then those of superseded
    /// revisions, then others. The latter two groups are each dropped in the policy's order, a block before its parent.
    func evictKV(
        _ wanted: Int, _ policy: Policy, _ request: EvictionRequest, average: Int, _ summary: inout EvictionSummary,
        _ work: Work
    ) throws {
        let start = ContinuousClock.now
        let superseded = try supersededSpaces()
        var victims: [PolicyDatabase.Victim] = []
        var rest = wanted
        let parts: [KVCandidates.Spaces?] = superseded.isEmpty ? [nil] : [.only(superseded), .others(superseded)]
        for spaces in parts where rest > 0 {
            victims += try KVCandidates(catalog.readableName, spaces, excluding: request.excluded).victims(
                policy, bytes: rest, expected: min(max(2.multiplied(saturating: rest) / max(average, 1), 256), 1 << 20),
                seconds: request.seconds)
            rest = wanted.subtracting(saturating: victims.saturatingSum(\.bytes))
        }
        summary.seconds = (ContinuousClock.now - start) / .seconds(1)
        let dropped = try catalog.write(dryRun: request.dryRun, durable: false, work: work) { db in
            try authority.require(db)
            return try Self.claimKV(victims, wanted, db)
        }
        if !request.dryRun { try authority.delete(dropped.blobs, .dropped) }
        summary.shards += dropped.blocks
        summary.bytes.add(saturating: dropped.bytes)
        summary.stored -= dropped.bytes
    }

    /// Drops victims that have no descendants, until `wanted` bytes are freed.
    private static func claimKV(_ victims: [PolicyDatabase.Victim], _ wanted: Int, _ db: Database) throws
        -> KVTable.Dropped
    {
        var dropped = try KVTable.dropOrphans(db)
        var clock: Double?
        for victim in victims where dropped.bytes < wanted {
            let removed = try KVTable.drop([victim.shard], leavesOnly: true, db)
            guard removed.blocks > 0 else { continue }
            dropped.blobs += removed.blobs
            dropped.bytes.add(saturating: removed.bytes)
            clock = [clock, victim.priority].compactMap(\.self).max()
        }
        if let clock { try EvictionClock(.kv).advance(to: clock, db) }
        return dropped
    }

    /// The spaces that belong only to superseded revisions. A revision is superseded if the model has a newer version,
    /// and neither a ref, a pin nor a live process holds the revision.
    func supersededSpaces() throws -> [Int64] {
        let used = Set(try leases.holders().flatMap(\.revisions))
        return try catalog.read { db in
            let rows = try Row.fetchAll(
                db,
                sql: """
                    SELECT kv_space_revision.space_id, model.name AS model, revision.digest, revision.provisional,
                           NOT EXISTS (SELECT 1 FROM ref WHERE ref.revision_id = revision.id)
                           AND NOT EXISTS (SELECT 1 FROM pin WHERE pin.revision_id = revision.id)
                           AND coalesce(revision.version < model.last_version, FALSE) AS is_superseded
                    FROM kv_space_revision
                    JOIN revision ON revision.id = kv_space_revision.revision_id
                    JOIN model ON model.id = revision.model_id
                    """)
            var (all, current): (Set<Int64>, Set<Int64>) = ([], [])
            for row in rows {
                let (space, model, isSuperseded): (Int64, String, Bool) = try (
                    row.value("space_id"), row.value("model"), row.value("is_superseded")
                )
                let names: [ContentDigest?] = try [row.value("digest"), row.value("provisional")]
                let isUsed = names.compactMap(\.self).contains { used.contains(.init(model: model, digest: $0)) }
                all.insert(space)
                if isUsed || !isSuperseded { current.insert(space) }
            }
            return all.subtracting(current).sorted()
        }
    }

    /// Evicts KV blocks, before new ones are stored, if the total would exceed the quota's high watermark. A put is not
    /// on a latency-critical path, so it does not leave this to the background eviction.
    ///
    /// - Parameters:
    ///   - sizes: bytes of each new block.
    ///   - parent: the key of the first block's parent, which is not evicted.
    /// - Returns: how many of the new blocks, from the first, fit.
    func makeRoomForKV(_ sizes: ArraySlice<Int>, behind parent: ContentDigest?) throws -> Int {
        let (quota, stored, excluded) = try catalog.read { db in
            (try Quota(.kv, db), try Totals.bytes(.kv, db), try parent.flatMap { try KVTable.id(of: $0, db) })
        }
        let bytes = sizes.reduce(0, +)
        guard let limit = quota.highBytes, stored + bytes > limit else { return sizes.count }
        var request = EvictionRequest(.downTo(max(min((quota.lowBytes ?? 0), limit - bytes), 0)), of: .kv)
        request.excluded = excluded
        var space = limit - (try evictBlocking(request).stored)
        return sizes.prefix { size in
            space -= size
            return space >= 0
        }.count
    }

    /// How many of the blobs that were just written, from the first, the disk has room for. The others are to be removed.
    func fitDisk(_ sizes: [Int]) throws -> Int {
        var lacking = -(try spareDiskForKV())
        var count = sizes.count
        while count > 0, lacking > 0 {
            count -= 1
            lacking -= sizes[count]
        }
        return count
    }

    /// The bytes of the disk that KV blocks may still use, which is negative if they have used too many: they leave 1/20
    /// of the disk free, or 10 GB of a large one.
    func spareDiskForKV() throws -> Int {
        let (available, total) = try FileSystem.space(path)
        return available - min(total / 20, 10_000_000_000)
    }
}
