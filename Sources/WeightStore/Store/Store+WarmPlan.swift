import GRDB
import Storage

extension Store {
    /// The plan that ``warm(_:work:)`` would execute now. Loads nothing. Blocks.
    ///
    /// Opens the tier with the default options if it is not open yet, because the plan needs its budget.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` for an unknown revision in the request, ``DeviceError``.
    public func warmPlan(_ request: WarmRequest) throws -> WarmPlan {
        // Includes the accesses of this process that are not in the catalog yet.
        flush()
        let memory = try tiers.open(request.tier)
        let now = StoreClock.now
        var plan = WarmPlan(tier: request.tier, budget: memory.attainableBudget)
        let (chosen, others) = try catalog.read { db in try choose(request, now: now, db) }
        plan.beyondTop = others
        var candidates: [WarmPlanner.Candidate] = []
        for revision in chosen {
            guard let weights = try candidate(revision, request, now: now, &plan) else { continue }
            candidates.append(weights)
            candidates += try PromptPlanner(self, revision, request.engine, now: now).candidates(&plan)
        }
        let occupancy = memory.occupancy
        let heats = try catalog.read { db in try Popularity.uses(of: occupancy.shards.map(\.digest), now: now, db) }
        let residents = occupancy.shards.map { shard in
            let uses = max(heats[shard.digest] ?? 0, shard.heat)
            return (
                shard.digest,
                WarmPlanner.Resident(
                    bytes: shard.bytes, isLeased: shard.isLeased, uses: uses,
                    benefitPerByte: uses * ReadCost.seconds(shard.bytes) / Double(max(shard.bytes, 1)))
            )
        }
        var planner = WarmPlanner(
            plan, residents: Dictionary(uniqueKeysWithValues: residents), underWay: occupancy.underWay,
            rangeBytes: occupancy.rangeBytes)
        plan = planner.plan(candidates)
        try countDiskBytes(&plan)
        return plan
    }

    private func choose(_ request: WarmRequest, now: Int, _ db: Database) throws -> ([PopularRevision], others: Int) {
        let popular = try Popularity.all(now: now, db)
        if request.revisions.isEmpty {
            let top = popular.prefix(max(request.top, 0))
            return (Array(top), others: popular.count - top.count)
        }
        var chosen: [PopularRevision] = []
        for name in request.revisions {
            let row = try RevisionRow.find(name, db)
            if chosen.contains(where: { $0.id == row.id }) { continue }
            var revision = popular.first { $0.id == row.id } ?? PopularRevision(row)
            // A requested revision is expected to be used whole: as often as before, and at least once.
            revision.uses = max(revision.uses, 1)
            revision.inherited = revision.uses
            chosen.append(revision)
        }
        return (chosen, others: 0)
    }

    /// The revision's shards that are worth warming; nil if some of them are not available, which is added to the plan.
    private func candidate(
        _ revision: PopularRevision, _ request: WarmRequest, now: Int, _ plan: inout WarmPlan
    ) throws -> WarmPlanner.Candidate? {
        // Files without tensors are read through the page cache, so the RAM tier includes them; a device does not need
        // them.
        let isWhole = request.tier == .ram
        var (shards, pending) = try catalog.read { db in
            (
                try Popularity.shards(of: revision.id, isWhole: isWhole, now: now, db),
                try Popularity.pendingBytes(of: revision.id, db)
            )
        }
        for index in shards.indices { shards[index].uses = max(shards[index].uses, revision.inherited) }
        shards.removeAll { $0.uses <= 0 }
        func leaveOut(_ bytes: Int, _ reason: SkippedItem.Reason, _ message: String) {
            plan.skipped.append(
                SkippedItem(revision: revision.name, prompt: nil, bytes: bytes, reason: reason, message: message))
        }
        let lost = shards.filter { !$0.isAvailable }
        if !lost.isEmpty {
            leaveOut(
                shards.bytes, .lost,
                "\(lost.count) of its shards are missing, and no origin has them; import it again")
            return nil
        }
        let evicted = shards.filter { !$0.isPresent }
        if !evicted.isEmpty, !request.fetches {
            leaveOut(
                shards.bytes, .evicted,
                "\(evicted.count) of its shards were evicted from the disk, and fetching is turned off")
            return nil
        }
        if pending > 0, revision.inherited > 0 {
            leaveOut(pending, .neverFetched, "never fetched")
        }
        return WarmPlanner.Candidate(item: WarmItem(revision, uses: revision.uses), shards: shards)
    }

    /// Counts the bytes of the plan that are not in the page cache.
    private func countDiskBytes(_ plan: inout WarmPlan) throws {
        for step in plan.steps {
            for shard in step.shards where shard.isPresent {
                let path = blobs.path(shard.digest)
                do {
                    let blob = try MappedBlob(path: path, digest: shard.digest, bytes: shard.bytes)
                    plan.items[step.item].diskBytes += shard.bytes - (try blob.mapping.cachedBytes())
                } catch StorageError.missing {
                    // Evicted since the plan was made, or lost: the warm-up reports it.
                    continue
                }
            }
        }
    }
}
