import GRDB
import Storage

extension Store {
    /// What ``warm(_:progress:)`` would do now. Moves nothing.
    ///
    /// Opens the tier, with the default options if it is not open yet, since its budget is asked for. Blocks.
    ///
    /// - Throws: ``StorageError/notFound(kind:name:detail:)`` for a revision that was named and is not there, ``DeviceError``.
    public func warmPlan(_ request: WarmRequest) throws -> WarmPlan {
        // What was counted in this process counts.
        flush()
        let memory = try tiers.open(request.tier)
        let now = StoreClock.now
        var plan = WarmPlan(tier: request.tier, budget: memory.budget)
        let (chosen, others) = try catalog.read { db in try choose(request, now: now, db) }
        plan.others = others
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
            plan, residents: Dictionary(uniqueKeysWithValues: residents), underWay: occupancy.underWay)
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
            // Asked for, so it will be used: all of it, as often as it was, and once at least.
            revision.uses = max(revision.uses, 1)
            revision.inherited = revision.uses
            chosen.append(revision)
        }
        return (chosen, others: 0)
    }

    /// The revision's shards that are worth warming; nil if some of them can't be had, which the plan is told.
    private func candidate(
        _ revision: PopularRevision, _ request: WarmRequest, now: Int, _ plan: inout WarmPlan
    ) throws -> WarmPlanner.Candidate? {
        // The page cache has what files without tensors are read from; a device has no use for them.
        let isWhole = request.tier == .ram
        var (shards, pending) = try catalog.read { db in
            (
                try Popularity.shards(of: revision.id, isWhole: isWhole, now: now, db),
                try Popularity.pendingBytes(of: revision.id, db)
            )
        }
        for index in shards.indices { shards[index].uses = max(shards[index].uses, revision.inherited) }
        shards.removeAll { $0.uses <= 0 }
        func leaveOut(_ bytes: Int, _ reason: LeftOut.Reason, _ message: String) {
            plan.leftOut.append(
                LeftOut(revision: revision.name, prompt: nil, bytes: bytes, reason: reason, message: message))
        }
        let lost = shards.filter { !$0.isToBeHad }
        if !lost.isEmpty {
            leaveOut(
                shards.bytes, .lost,
                "shards that it needs (\(lost.count)) are not here, and no origin has them: import it again")
            return nil
        }
        let evicted = shards.filter { !$0.isPresent }
        if !evicted.isEmpty, !request.fetches {
            leaveOut(
                shards.bytes, .evicted,
                "shards that it needs (\(evicted.count)) were evicted from the disk, and nothing is to be fetched")
            return nil
        }
        if pending > 0, revision.inherited > 0 {
            leaveOut(pending, .neverCame, "it was never fetched")
        }
        return WarmPlanner.Candidate(item: WarmItem(revision, uses: revision.uses), shards: shards)
    }

    /// Looks which bytes of the plan the page cache lacks.
    private func countDiskBytes(_ plan: inout WarmPlan) throws {
        for step in plan.steps {
            for shard in step.shards where shard.isPresent {
                let path = blobs.path(shard.digest)
                do {
                    let blob = try MappedBlob(path: path, digest: shard.digest, bytes: shard.bytes)
                    plan.items[step.item].diskBytes += shard.bytes - (try blob.mapping.cachedBytes())
                } catch StorageError.missing {
                    // Evicted a moment ago, or lost: the warm-up finds out.
                    continue
                }
            }
        }
    }
}
