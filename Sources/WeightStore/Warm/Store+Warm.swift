import Foundation

extension Store {
    /// Brings the revisions that are used most into a tier, so that their next use finds them there.
    ///
    /// What comes, in which order, and what is left out: ``warmPlan(_:)``. Warming is no use: it makes nothing more
    /// popular, and the tier's hits and misses don't count it. Again, with nothing changed, it moves nothing. What could
    /// not come in (an origin that can't be reached, room that others took meanwhile) is in the summary, and the rest
    /// comes in all the same.
    ///
    /// Cancelled, it stops what is under way and gives back what it held; what is in by then stays in the tier.
    ///
    /// - Throws: as ``warmPlan(_:)``; `CancellationError`.
    public func warm(_ request: WarmRequest, progress: WarmProgress = WarmProgress()) async throws -> WarmSummary {
        let plan = try await onThread { try self.warmPlan(request) }
        return try await warm(plan, progress: progress)
    }

    /// Does what a plan says.
    public func warm(_ plan: WarmPlan, progress: WarmProgress = WarmProgress()) async throws -> WarmSummary {
        try Task.checkCancellation()
        let start = ContinuousClock.now
        progress.expect(plan.bytes)
        var summary = WarmSummary(plan: plan)
        let memory = try tiers.open(plan.tier)
        let wanted = Set(plan.steps.flatMap { $0.shards.map(\.digest) })
        // Held until all is done, so that nobody removes them meanwhile.
        let revisions = try await onThread { plan.items.map { item in Result { try self.warmed(item, in: plan.tier) } } }
        var stopped: Set<Int> = []
        func take(_ step: WarmStep, _ result: Result<Void, any Error>) throws {
            switch result {
            case .success: summary.warmed += step.bytes
            case .failure(is CancellationError): throw CancellationError()
            case .failure(let error):
                // The layers after it are of no use without it.
                stopped.insert(step.item)
                summary.fail(step, error)
            }
            progress.finish(step.bytes)
        }
        try await withThrowingTaskGroup(of: (WarmStep, Result<Void, any Error>).self) { group in
            var underWay = 0
            for step in plan.steps {
                if underWay == Warmer.stepsAtOnce, let (ended, result) = try await group.next() {
                    underWay -= 1
                    try take(ended, result)
                }
                guard !stopped.contains(step.item) else {
                    try take(step, .failure(Warmer.Stopped()))
                    continue
                }
                group.addTask {
                    do {
                        let warmer = Warmer(memory, try revisions[step.item].get(), wanted)
                        return (step, .success(try await warmer.bring(step)))
                    } catch {
                        return (step, .failure(error))
                    }
                }
                underWay += 1
            }
            for try await (ended, result) in group { try take(ended, result) }
        }
        summary.seconds = (ContinuousClock.now - start) / .seconds(1)
        return summary
    }

    /// Holds a revision of the plan. Looks at all of its tensors, as its first use will: what the catalog says of them is
    /// then in memory, too.
    private func warmed(_ item: WarmItem, in tier: Tier) throws -> Revision {
        let revision = try heldRevision("\(item.model)@\(item.digest)")
        _ = try revision.view(in: tier)
        return revision
    }

    /// Blocking work, off Swift's own threads.
    private func onThread<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Swift.Result { try work() }) }
        }
    }
}

extension WarmSummary {
    fileprivate mutating func fail(_ step: WarmStep, _ error: any Error) {
        let item = plan.items[step.item]
        func entry(_ bytes: Int, _ reason: LeftOut.Reason, _ message: String) -> LeftOut {
            LeftOut(revision: item.revision, prompt: item.prompt, bytes: bytes, reason: reason, message: message)
        }
        if let index = failed.firstIndex(where: { $0.revision == item.revision && $0.prompt == item.prompt }) {
            // The first error is the one to tell.
            failed[index] = entry(failed[index].bytes + step.bytes, failed[index].reason, failed[index].message)
            return
        }
        let isFull = if case StoreError.tierFull = error { true } else { false }
        failed.append(
            entry(step.bytes, isFull ? .noRoom : .failed, isFull ? "others took the room meanwhile" : "\(error)"))
    }
}

/// Brings the steps of a plan into a tier.
struct Warmer {
    /// So many steps are under way at once: enough that the tier's readers never wait, few enough that the order holds.
    static let stepsAtOnce = 3

    /// A step that was not begun because one before it of the same item failed.
    struct Stopped: Error {}

    private let memory: MemoryTier
    private let revision: Revision
    private let wanted: Set<Digest>

    /// - Parameter wanted: what the whole plan wants, of which nothing goes.
    init(_ memory: MemoryTier, _ revision: Revision, _ wanted: Set<Digest>) {
        self.memory = memory
        self.revision = revision
        self.wanted = wanted
    }

    func bring(_ step: WarmStep) async throws {
        let shards = step.shards.map {
            (shard: memory.residency($0.digest, bytes: $0.bytes, layer: $0.layer, model: revision.model), heat: $0.uses)
        }
        memory.remember(shards)
        let uses = step.uses
        // Chosen when the plan was made; it may have been used since.
        let warming = Warming { [wanted] resident in
            step.victims.contains(resident.digest) && !wanted.contains(resident.digest)
                && resident.heat(at: Clock.coarse) < uses
        }
        let group = ShardGroup(shards: shards.map(\.shard), in: memory, hold: revision.hold)
        try await PendingLease(group, warming: warming).value().release()
    }
}
