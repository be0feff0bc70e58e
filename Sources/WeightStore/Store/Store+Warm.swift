import DeviceMemory
import Foundation
import Storage
import Support
import Tiers

extension Store {
    /// Loads the most used revisions into a tier, with the KV blocks of their common prompts, so that their next use is
    /// a hit.
    ///
    /// ``warmPlan(_:)`` chooses the shards and their order. Warm-up does not count as an access: it changes neither
    /// popularity nor the tier's hits and misses. A second warm-up without changes loads nothing. Items that fail (an
    /// origin is unreachable, or other loads fill the tier meanwhile) are listed in ``WarmSummary/failed``, and the
    /// others are loaded.
    ///
    /// With an engine, KV blocks that the store lacks are computed once the weights are loaded, one prompt after the
    /// other. They are stored, and then loaded, too.
    ///
    /// When cancelled, it stops its loads and releases its leases; shards that are resident by then stay in the tier.
    ///
    /// - Parameters:
    ///   - request: the tier, the budget and the models.
    ///   - work: counts bytes loaded.
    /// - Throws: as ``warmPlan(_:)``; `CancellationError`.
    public func warm(_ request: WarmRequest, work: Work = Work()) async throws -> WarmSummary {
        try await work.runTask { [self] in try await warm(request, work) }
    }

    /// The blocking form of ``warm(_:work:)``, for threads outside of Swift's cooperative pool.
    public func warmBlocking(_ request: WarmRequest, work: Work = Work()) throws -> WarmSummary {
        try work.wait { [self] in try await warm(request, work) }
    }

    private func warm(_ request: WarmRequest, _ work: Work) async throws -> WarmSummary {
        let start = ContinuousClock.now
        let plan = try await onThread { try self.warmPlan(request) }
        var summary = try await execute(plan, work)
        if let engine = request.engine, !plan.prefills.isEmpty {
            for prefill in plan.prefills { try await compute(prefill, engine, &summary) }
            // The second plan includes the computed blocks, which are in the store now.
            let rest = try await execute(try await onThread { try self.warmPlan(request) }, work)
            summary.warmed += rest.warmed
            summary.failed += rest.failed
        }
        summary.seconds = (ContinuousClock.now - start) / .seconds(1)
        return summary
    }

    /// Executes a plan, except its prefills.
    func execute(_ plan: WarmPlan, _ work: Work = Work()) async throws -> WarmSummary {
        try Task.checkCancellation()
        work.expect(plan.bytes)
        var summary = WarmSummary(plan: plan)
        let memory = try tiers.open(plan.tier)
        let wanted = Set(plan.steps.flatMap { $0.shards.map(\.digest) })
        // Held to the end, so that they are not removed meanwhile.
        let revisions = try await onThread {
            plan.items.map { item in Result { try self.warmed(item, in: plan.tier) } }
        }
        var stopped: Set<Int> = []
        func record(_ step: WarmStep, _ result: Result<Void, any Error>) throws {
            switch result {
            case .success: summary.warmed += step.bytes
            case .failure(is CancellationError): throw CancellationError()
            case .failure(let error):
                // A layer is useful only with those before it.
                stopped.insert(step.item)
                summary.fail(step, error)
            }
            work.advance(step.bytes)
        }
        try await withThrowingTaskGroup(of: (WarmStep, Result<Void, any Error>).self) { group in
            var underWay = 0
            for step in plan.steps {
                if underWay == WarmLoader.stepsAtOnce, let (ended, result) = try await group.next() {
                    underWay -= 1
                    try record(ended, result)
                }
                guard !stopped.contains(step.item) else {
                    try record(step, .failure(WarmLoader.Stopped()))
                    continue
                }
                group.addTask {
                    do {
                        let loader = WarmLoader(memory, try revisions[step.item].get(), wanted)
                        return (step, .success(try await loader.load(step, of: plan.items[step.item])))
                    } catch {
                        return (step, .failure(error))
                    }
                }
                underWay += 1
            }
            for try await (ended, result) in group { try record(ended, result) }
        }
        return summary
    }

    /// Requests the missing KV blocks of a prompt from an engine, and stores them.
    private func compute(_ prefill: PlannedPrefill, _ engine: any PrefillEngine, _ summary: inout WarmSummary)
        async throws
    {
        try Task.checkCancellation()
        do {
            let start = ContinuousClock.now
            let blocks = try await engine.prefill(prefill.kv, tokens: prefill.tokens, firstMissing: prefill.present)
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            guard blocks.count <= prefill.missing else {
                throw StorageError.invalid(
                    what: "prefill", value: prefill.prompt,
                    reason: "the engine returned \(blocks.count) blocks, more than the \(prefill.missing) requested")
            }
            if blocks.isEmpty {
                return summary.failed.append(prefill.skipped(.notComputed, "the engine returned no KV blocks"))
            }
            let put = try await onThread {
                try prefill.kv.put(
                    prefill.kv.chain(prefill.tokens), from: prefill.present, blocks,
                    seconds: seconds / Double(blocks.count))
            }
            summary.computed += put.stored
            if let refusal = put.refusal {
                summary.failed.append(
                    prefill.skipped(
                        .doesNotFit, "\(put.refused) computed KV blocks are not stored: \(refusal.reason)"))
            }
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            summary.failed.append(prefill.skipped(.failed, "\(error)"))
        }
    }

    /// Holds a revision of the plan. Also reads all of its tensor rows, so that the first lease finds the catalog's
    /// pages in memory, too.
    private func warmed(_ item: WarmItem, in tier: Tier) throws -> Revision {
        let revision = try heldRevision("\(item.model)@\(item.digest)")
        if item.prompt == nil { _ = try revision.view(in: tier) }
        return revision
    }
}

extension WarmSummary {
    fileprivate mutating func fail(_ step: WarmStep, _ error: any Error) {
        let item = plan.items[step.item]
        func entry(_ bytes: Int, _ reason: SkippedItem.Reason, _ message: String) -> SkippedItem {
            SkippedItem(revision: item.revision, prompt: item.prompt, bytes: bytes, reason: reason, message: message)
        }
        if let index = failed.firstIndex(where: { $0.revision == item.revision && $0.prompt == item.prompt }) {
            // Only the first error of an item is reported.
            failed[index] = entry(failed[index].bytes + step.bytes, failed[index].reason, failed[index].message)
            return
        }
        let isFull =
            switch error {
            case TierError.full, DeviceError.outOfMemory: true
            default: false
            }
        failed.append(
            isFull
                ? entry(step.bytes, .doesNotFit, "other loads filled the tier meanwhile")
                : entry(step.bytes, .failed, "\(error)"))
    }
}
